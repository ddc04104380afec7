"""One line of progress, laid out to the width of the terminal."""

import unicodedata
from dataclasses import dataclass

WIDEST, NARROW = 24, 10
"""Cells of the bar proper."""
GAP = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How far a piece of work has come."""

    what: str
    unit: str
    """In the plural: steps, rows."""
    total: int | None
    """None where it is not known."""
    done: int
    before: int = 0
    """Of those, done by an earlier process."""
    seconds: float
    """That this process has spent on it."""
    note: str = ""


def lay_out(work: Work, columns: int) -> str:
    """Return the longest form of the line that fits into `columns` cells."""
    rate, left, note = _rate(work), _left(work), work.note
    if work.total is None:
        count = f"{work.done:,} {work.unit}"
        forms = [
            (work.what, count, rate, clock(work.seconds), note),
            (work.what, count, rate, clock(work.seconds)),
            (work.what, count, clock(work.seconds)),
            (work.what, count),
        ]
    else:
        count = f"{work.done:,}/{work.total:,} {work.unit}"
        percent = f"{_share(work):4.0%}"
        forms = [
            (work.what, _bar(work, WIDEST), count, rate, left, note),
            (work.what, _bar(work, NARROW), count, rate, left, note),
            (work.what, _bar(work, NARROW), count, rate, left),
            (work.what, _bar(work, NARROW), percent, left),
            (work.what, percent, left),
            (work.what, percent),
        ]
    lines = [GAP.join(part for part in form if part) for form in forms]
    return next((line for line in lines if cells(line) <= columns), clip(lines[-1], columns))


def describe(work: Work) -> str:
    """Return the line for a log, in which it stands for itself."""
    took = f"{work.seconds:.0f} s"
    if work.total is None:
        return f"{work.what}: {GAP.join(_known(f'{work.done:,} {work.unit}', work, took))}"
    if left := _left(work):
        took += f", {left}"
    return f"{work.what}: {GAP.join(_known(f'{work.done:,}/{work.total:,}', work, took))}"


def clock(seconds: float) -> str:
    """Write a duration as minutes and seconds, or as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def cells(text: str) -> int:
    """Count the cells of a terminal that a text takes."""
    return sum(map(_width, text))


def clip(text: str, columns: int) -> str:
    """Cut a text to what fits into `columns` cells."""
    taken = 0
    for i, character in enumerate(text):
        taken += _width(character)
        if taken > columns:
            return text[:i]
    return text


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _known(count: str, work: Work, took: str) -> list[str]:
    return [part for part in (count, _rate(work), work.note, took) if part]


def _share(work: Work) -> float:
    return min(work.done / work.total, 1.0) if work.total else 1.0


def _bar(work: Work, width: int) -> str:
    full = int(_share(work) * width)
    return f"[{'#' * full}{'-' * (width - full)}]"


def _rate(work: Work) -> str:
    fresh = work.done - work.before
    if fresh <= 0 or work.seconds <= 0:
        return ""
    rate = fresh / work.seconds
    if rate < 1:
        return f"{1 / rate:.3g} s/{work.unit.removesuffix('s')}"
    return f"{rate:{',.0f' if rate >= 100 else '.3g'}} {work.unit}/s"


def _left(work: Work) -> str:
    fresh = work.done - work.before
    if work.total is None or fresh <= 0 or work.done >= work.total:
        return ""
    return f"{clock((work.total - work.done) * work.seconds / fresh)} left"
