"""Texts changed as users change them: typos, case, punctuation, the order of words."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bertedge.data import Example, QuestionExample, TextExample, TokenExample
from bertedge.unspaced import UNSPACED, is_punctuation

Change = Callable[[str, random.Random], str]
ONE_IN = 5
"""A typo for so many words, at least one a text."""
_SHORTEST = 4
"""Letters of a word that gets a typo."""


def add_typos(text: str, rng: random.Random) -> str:
    """Swap, drop or double a letter inside a word of four letters or more, in one word of five.

    In scripts without spaces two neighbouring characters change places.
    """
    words = text.split(" ")
    able = [i for i, word in enumerate(words) if _typable(word)]
    for i in rng.sample(able, min(len(able), max(1, len(words) // ONE_IN))):
        words[i] = _typo(words[i], rng)
    return " ".join(words)


def drop_punctuation(text: str, rng: random.Random) -> str:
    """Leave out every sign of punctuation, but apostrophes and hyphens in words."""
    kept = [
        c
        for i, c in enumerate(text)
        if not is_punctuation(c) or (c in "'\u2019-" and text[i - 1 : i].isalnum())
    ]
    return "".join(kept) or text


def shuffle_words(text: str, rng: random.Random) -> str:
    """Put the words in another order; of scripts without spaces the characters."""
    parts = text.split()
    unspaced = len(parts) < 3 and UNSPACED.search(text)
    parts = list(text) if unspaced else parts
    rng.shuffle(parts)
    return ("" if unspaced else " ").join(parts)


def _lower(text: str, rng: random.Random) -> str:
    return text.lower()


def _upper(text: str, rng: random.Random) -> str:
    return text.upper()


KINDS: dict[str, Change] = {
    "typos": add_typos,
    "lower case": _lower,
    "UPPER CASE": _upper,
    "no punctuation": drop_punctuation,
    "words shuffled": shuffle_words,
}
BY_WORD = ("typos", "lower case", "UPPER CASE")
"""Those that leave each word where its tag is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Examples whose texts are changed; every iteration changes them alike."""

    path: Path
    examples: Sequence[Example]
    change: Change
    seed: int

    def __iter__(self) -> Iterator[Example]:
        """Yield the examples in turn."""
        for number, example in enumerate(self.examples):
            yield change_example(example, self.change, random.Random(f"{self.seed}:{number}"))


def change_example(example: Example, change: Change, rng: random.Random) -> Example:
    """Change the texts of an example: of a question the question, of choices their context.

    Words that have tags are changed one by one. What would leave nothing stays as it is.
    """

    def changed(text: str) -> str:
        found = change(text, rng)
        return found if found.strip() else text

    match example:
        case TextExample(others=()):
            pair = None if example.pair is None else changed(example.pair)
            return replace(example, text=changed(example.text), pair=pair)
        case TextExample():
            return replace(example, text=changed(example.text))
        case QuestionExample():
            return replace(example, question=changed(example.question))
        case TokenExample():
            draw = 1 if change is not add_typos else 1 / ONE_IN
            words = [changed(word) if rng.random() < draw else word for word in example.tokens]
            return replace(example, tokens=tuple(words))


def _typable(word: str) -> bool:
    return len(word) >= _SHORTEST or (len(word) > 1 and UNSPACED.search(word) is not None)


def _typo(word: str, rng: random.Random) -> str:
    if UNSPACED.search(word) or len(word) < _SHORTEST:
        at = rng.randrange(max(len(word) - 1, 1))
        return word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :]
    at = rng.randrange(1, len(word) - 2)
    match rng.randrange(3):
        case 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            return word[:at] + word[at + 1 :]
        case _:
            return word[:at] + word[at] + word[at:]
