"""An explanation as marked text for a terminal: a word's background says what it weighs."""

from collections.abc import Sequence

import click

from bertedge.cli.console import clean, wants_colour
from bertedge.explanation import Explanation, WordWeight
from bertedge.spec import Text

FOR = (195, 153, 111, 75)
"""Backgrounds of words that speak for the label, weakest first (256 colours): blues."""
AGAINST = (230, 223, 216, 209)
"""Of words that speak against it: oranges, which no colour blindness takes for blues."""
BLACK = 16
LEAST = 0.1
"""Of the largest weight: a word of less is not marked."""
LISTED = 5


def mark(found: Explanation, text: Text) -> str:
    """Lay out the label, the text with its words marked, and the words that weigh most.

    Without colours the weights stand behind the words, in brackets.
    """
    colour = wants_colour() is not False
    most = max((abs(each.weight) for each in found.words), default=0.0)
    parts = (text,) if isinstance(text, str) else text
    lines = [click.style(f"{clean(found.label)} {found.score:.4f}", bold=True)]
    for part, own in enumerate(parts):
        words = [each for each in found.words if each.part == part]
        marked = _mark_part(own, words, most, colour=colour)
        lines += [f"  {line}" for line in marked.split("\n")]
    first = sorted(found.words, key=lambda each: -abs(each.weight))[:LISTED]
    lines.append("  " + "  ".join(f"{clean(each.word)} {each.weight:+.4f}" for each in first))
    if found.left_out:
        lines.append(f"  {found.left_out:,} more words are not explained")
    shown = "\n".join(lines)
    return (shown if colour else click.unstyle(shown)) + "\n"


def _mark_part(text: str, words: Sequence[WordWeight], most: float, *, colour: bool) -> str:
    pieces, done = [], 0
    for each in words:
        pieces.append(clean(text[done : each.start]))
        pieces.append(_mark_word(each, most, colour=colour))
        done = each.end
    return "".join((*pieces, clean(text[done:])))


def _mark_word(each: WordWeight, most: float, *, colour: bool) -> str:
    word, share = clean(each.word), abs(each.weight) / most if most else 0.0
    if share < LEAST:
        return word
    if not colour:
        return f"{word}[{each.weight:+.2f}]"
    shades = FOR if each.weight > 0 else AGAINST
    return click.style(word, bg=shades[min(int(share * len(shades)), len(shades) - 1)], fg=BLACK)
