"""Answers as one number each, which is how engines tell what they found."""

from bertedge.predictions import Answer

NO_ANSWER = -1
_SIDE = 1 << 26
"""More characters than a context that is benched has."""


def span_label(answer: Answer | None) -> int:
    """Make one number of where an answer begins and ends."""
    return NO_ANSWER if answer is None else span_number(answer.start, answer.end)


def span_number(start: int, end: int) -> int:
    """Make one number of two."""
    return start * _SIDE + end


def span_of(number: int) -> tuple[int, int]:
    """Take the number apart: first character, and one past the last; (0, 0) for no answer."""
    return (0, 0) if number < 0 else divmod(number, _SIDE)
