"""Texts that a labelled file has several times, and those that two files have both."""

from array import array
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bertedge.data.example import Example, QuestionExample, TextExample
from bertedge.data.split import hash_text, text_of


@dataclass(slots=True, kw_only=True)
class Digests:
    """Hashes of the rows of a file, in 24 bytes a row."""

    texts: "array[int]" = field(default_factory=lambda: array("Q"))
    """Of texts; case and spaces aside."""
    gold: "array[int]" = field(default_factory=lambda: array("Q"))
    """Of what is right of them."""
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    """Where they stand; of questions in JSON, which of them it is."""

    def add(self, example: Example) -> None:
        """Keep what tells a row from others."""
        if isinstance(example, QuestionExample):
            text, line = "\0".join(example.input), len(self.lines) + 1
        else:
            text, line = text_of(example), example.line
        self.texts.append(hash_text(text))
        self.gold.append(hash_text(repr(_gold(example))))
        self.lines.append(line)


def duplicates(rows: Digests, gold: str) -> list[str]:
    """Return a line about rows of one text, and one about those that differ in their `gold`."""
    texts, lines = _texts(rows), np.frombuffer(rows.lines, np.int64)
    _, first, group = np.unique(texts, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[group] != np.arange(len(texts)))
    if not len(again):
        return []
    found = [
        f"{len(again):,} of {len(texts):,} rows ({len(again) / len(texts):.1%}) repeat the text of "
        f"another (see {_pair(lines, first[group[again[0]]], again[0])})"
    ]
    labels = np.frombuffer(rows.gold, np.uint64)
    odd = again[labels[again] != labels[first[group[again]]]]
    if len(odd):
        texts_of_several = len(np.unique(group[odd]))
        are = "text has" if texts_of_several == 1 else "texts have"
        found.append(
            f"{texts_of_several:,} {are} different {gold} in different rows (see "
            f"{_pair(lines, first[group[odd[0]]], odd[0])}); which are right?"
        )
    return found


def in_both(train: Digests, dev: Digests, name: str) -> list[str]:
    """Return a line about texts of the dev file `name` that are in the training file, too."""
    seen = np.flatnonzero(np.isin(_texts(dev), _texts(train)))
    if not len(seen):
        return []
    share = len(seen) / len(dev.texts)
    return [
        f"{len(seen):,} of {len(dev.texts):,} dev texts ({share:.1%}) are in the training file, "
        f"too (see {name}:{dev.lines[seen[0]]}); scores on them say too much"
    ]


def _gold(example: Example) -> object:
    if isinstance(example, QuestionExample):
        return [(each.text, each.start) for each in example.answers or ()]
    value = example.value if isinstance(example, TextExample) else None
    return example.names if value is None else value


def _texts(rows: Digests) -> NDArray[np.uint64]:
    return np.frombuffer(rows.texts, np.uint64)


def _pair(lines: NDArray[np.int64], one: int, other: int) -> str:
    return f"lines {lines[one]} and {lines[other]}"
