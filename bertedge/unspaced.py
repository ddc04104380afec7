"""Scripts that put no spaces between words: their characters stand for words."""

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence

# Thai and Lao, Burmese, Khmer, 々〆〇, kana and bopomofo, Han, halfwidth kana, Han beyond the BMP.
_RANGES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u312f"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
UNSPACED = re.compile(f"[{_RANGES}]")
"""One character of such a script."""


@functools.lru_cache(maxsize=65_536)
def is_punctuation(character: str) -> bool:
    """Return whether a character is punctuation of any script, or a sign of ASCII."""
    if character.isascii():
        return not character.isalnum() and character.isprintable() and character != " "
    return unicodedata.category(character).startswith("P")


def split_words(text: str) -> Iterator[tuple[int, int]]:
    """Return start and end of each word as BERT's tokenizer parts a text, before word pieces.

    A sign of punctuation is a word, and so is each character of a script without spaces.
    """
    start = -1
    for i, character in enumerate(text):
        space = character.isspace()
        alone = not space and (is_punctuation(character) or UNSPACED.match(character) is not None)
        if (space or alone) and start >= 0:
            yield start, i
            start = -1
        if alone:
            yield i, i + 1
        elif not space and start < 0:
            start = i
    if start >= 0:
        yield start, len(text)


def join_words(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Join words to a text; return it with start and end of each word.

    Spaces part words, but for those of scripts without spaces (Han, kana, Thai and others), where
    only letters and digits of another script are kept apart.
    """
    without = sum(bool(UNSPACED.search(word)) for word in words)
    unspaced = without > sum(any(map(_is_spaced_letter, word)) for word in words)
    text = ""
    spans = []
    for word in words:
        if text and (not unspaced or (_is_spaced(text[-1]) and _is_spaced(word[:1]))):
            text += " "
        spans.append((len(text), len(text) + len(word)))
        text += word
    return text, spans


def _is_spaced_letter(character: str) -> bool:
    return character.isalpha() and not UNSPACED.match(character)


def _is_spaced(character: str) -> bool:
    return character.isalnum() and not UNSPACED.match(character)
