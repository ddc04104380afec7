"""Rows of the model's length, cut from a corpus; each a pure function of its number and a seed."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import DataError, SettingError
from bertedge.pretrain.corpus import Corpus

SHORT = 0.1
"""Share of pairs that are made shorter, so that fine-tuning on short texts is no surprise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of tokens."""

    ids: NDArray[np.int64]
    begins: NDArray[np.bool_]
    """True for the first piece of a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One text, or two of which the second may be a random one."""

    parts: tuple[Part, ...]
    random: bool | None = None
    """Whether the second does not follow the first; None for one text."""


class Rows(Protocol):
    """What a model is pretrained on."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def row(self, number: int, rng: np.random.Generator) -> Row:
        """Cut a row out; `rng` decides what is random in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """All lines joined and cut every `room` tokens, so that no row has padding."""

    corpus: Corpus
    room: int

    def __len__(self) -> int:
        """Return the number of rows; only the last one may be shorter."""
        return math.ceil(len(self.corpus.tokens) / self.room)

    def row(self, number: int, rng: np.random.Generator) -> Row:
        """Cut row `number` out."""
        return Row(parts=(_part(self.corpus, number * self.room, (number + 1) * self.room),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs of texts, as in the paper: half of the second ones are of another document."""

    corpus: Corpus
    room: int
    chunks: NDArray[np.int64]
    """The first line of each row and the one after its last `(rows, 2)`."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.chunks)

    def row(self, number: int, rng: np.random.Generator) -> Row:
        """Split the lines of row `number`; replace the second half every other time."""
        lines = self.corpus.lines
        first, last = self.chunks[number].tolist()
        split = first + 1 if last - first == 1 else int(rng.integers(first + 1, last))
        random = last - first == 1 or bool(rng.random() < 0.5)
        one = _part(self.corpus, lines[first], lines[split])
        if random:
            # A long first text leaves no room, but a short second one would tell that it is random.
            room = max(self.room - len(one.ids), self.room // 2)
            two = self._elsewhere(first, room, rng)
        else:
            two = _part(self.corpus, lines[split], lines[last])
        return Row(parts=_fit(one, two, self.room, rng), random=random)

    def _elsewhere(self, line: int, room: int, rng: np.random.Generator) -> Part:
        """Return up to `room` tokens from a random line of a document that `line` is not in."""
        lines, documents = self.corpus.lines, self.corpus.documents
        own = int(np.searchsorted(documents, line, side="right")) - 1
        other = int(rng.integers(len(documents) - 2))
        other += other >= own
        start = lines[rng.integers(documents[other], documents[other + 1])]
        return _part(self.corpus, start, min(start + room, lines[documents[other + 1]]))


def cut(
    corpus: Corpus, *, max_length: int, next_sentence: bool, specials: int, seed: int
) -> Stream | Pairs:
    """Cut a corpus into rows that leave room for `specials` special tokens.

    DataError for a text too short to hold anything out; SettingError for pairs of one document.
    """
    room = max_length - specials
    rows: Stream | Pairs = Stream(corpus=corpus, room=room)
    if next_sentence:
        if len(corpus.documents) <= 2:
            raise SettingError(
                "--next-sentence takes random texts from other documents, but there is only one; "
                "part documents by blank lines, or give several files"
            )
        rows = Pairs(corpus=corpus, room=room, chunks=_chunks(corpus, room, seed))
    if len(rows) < 2:
        raise DataError(
            f"the text has {len(corpus.tokens)} tokens, which is one row of {max_length}: "
            "too few to train on and to hold out; give more text, or a smaller --max-length"
        )
    return rows


def _chunks(corpus: Corpus, room: int, seed: int) -> NDArray[np.int64]:
    """Join lines of a document until they fill a row, or now and then a shorter one."""
    rng = np.random.default_rng(seed)
    chunks = []
    for start, stop in zip(corpus.documents, corpus.documents[1:], strict=False):
        first = int(start)
        while first < stop:
            target = int(rng.integers(2, room + 1)) if rng.random() < SHORT else room
            filled = np.searchsorted(corpus.lines, corpus.lines[first] + target)
            last = int(min(max(filled, first + 1), stop))
            chunks.append((first, last))
            first = last
    return np.array(chunks, np.int64)


def _part(corpus: Corpus, start: int, stop: int) -> Part:
    return Part(
        ids=np.array(corpus.tokens[start:stop], np.int64),
        begins=np.array(corpus.begins[start:stop]),
    )


def _fit(one: Part, two: Part, room: int, rng: np.random.Generator) -> tuple[Part, Part]:
    """Shorten the longer of the two, at its front or its end by turns, until they fit."""
    sizes = [len(one.ids), len(two.ids)]
    surplus = max(0, sum(sizes) - room)
    longer, shorter = max(sizes), min(sizes)
    # The longer gives way alone until both are alike, then both by half.
    alone = min(surplus, longer - shorter)
    both = surplus - alone
    cuts = [both // 2 + both % 2 + alone, both // 2]
    if sizes[0] < sizes[1]:
        cuts.reverse()
    return (_trim(one, cuts[0], rng), _trim(two, cuts[1], rng))


def _trim(part: Part, surplus: int, rng: np.random.Generator) -> Part:
    front = int(rng.binomial(surplus, 0.5))
    keep = slice(front, len(part.ids) - (surplus - front))
    return Part(ids=part.ids[keep], begins=part.begins[keep])
