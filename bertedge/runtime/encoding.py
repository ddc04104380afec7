"""What a model reads: rows of token ids, windows of texts that are too long, padded batches."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertedge.runtime.providers import CPU

T = TypeVar("T")
Ints = NDArray[np.int64]

TOKEN_BUDGET = CPU.token_budget
"""Padded tokens in a batch of an engine whose device is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One row for the model: a text, a pair, or a window of a longer text.

    `offsets` and `word_ids` are empty in what `Tokenizer.encode` gives, where nobody needs them.
    """

    ids: Ints
    """Token ids, special tokens included `(sequence,)`."""
    type_ids: Ints
    """0 in the first text of a pair, 1 in the second `(sequence,)`."""
    offsets: Ints
    """First character and one past the last, in the caller's text (in the word, for words)
    `(sequence, 2)`."""
    word_ids: Ints
    """Which word the token belongs to; -1 for special tokens `(sequence,)`."""
    content: slice
    """The tokens that come from the text."""
    first: int
    """Position in the text, counted in tokens, of the first of them; above 0 in later windows."""
    text: int
    """Which of the texts given it came from."""
    truncated: bool
    """True where the text (of a windowed context: its question) was longer than the model reads."""

    @property
    def special(self) -> NDArray[np.bool_]:
        """True for the tokens that are not in the text `(sequence,)`."""
        mask = np.ones(len(self.ids), np.bool_)
        mask[self.content] = False
        return mask


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens of each text of a pair are kept of `room`, as tokenizers decides it.

    The longer text gives way until both are alike; then they share, the longer one the odd token.
    """
    short, long = sorted((int(first), int(second)))
    long = min(long, max(short, room - short))
    if short + long > room:
        short = room // 2
        long = room - short
    return (long, short) if first > second else (short, long)


def window_starts(size: int, room: int, stride: int) -> list[int]:
    """Return where windows of `room` tokens begin so that they cover `size` tokens.

    Neighbours share at least `stride` tokens; the last one ends with the text and is full too.
    """
    if size <= room:
        return [0]
    return [*range(0, size - room, room - stride), size - room]


def strided_starts(size: int, room: int, stride: int) -> range:
    """Return where windows begin, as `window_starts` does; the last one may be short."""
    return range(0, max(size - stride, 1), room - stride)


def by_text(
    rows: Sequence[Encoded], values: Sequence[T]
) -> Iterator[tuple[int, tuple[Encoded, ...], tuple[T, ...]]]:
    """Yield the number of each text with its rows, which come in turn, and a value for each row."""
    both = zip(rows, values, strict=True)
    for text, group in itertools.groupby(both, key=lambda each: each[0].text):
        own, found = zip(*group, strict=True)
        yield text, own, found


def best_context(windows: Sequence[Encoded]) -> list[slice]:
    """Return for each window of one text, in order, which of its tokens to keep.

    Together they are every token of the text once, special tokens left out, each from the window
    with the most context on both sides of it.
    """
    lengths = [window.content.stop - window.content.start for window in windows]
    ends = [window.first + length for window, length in zip(windows, lengths, strict=True)]
    borders = [
        0,
        *((right.first + end) // 2 for right, end in zip(windows[1:], ends, strict=False)),
        ends[-1],
    ]
    shifts = [window.content.start - window.first for window in windows]
    return [
        slice(start + shift, stop + shift)
        for start, stop, shift in zip(borders, borders[1:], shifts, strict=False)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a model is fed, padded on the right; every array is `(batch, sequence)`."""

    input_ids: Ints
    attention_mask: Ints
    token_type_ids: Ints

    @classmethod
    def full(cls, rows: ArrayLike) -> "Batch":
        """Return the batch of rows of token ids `(batch, sequence)` without padding."""
        ids = np.asarray(rows, np.int64)
        return cls(
            input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids)
        )


def plan(lengths: ArrayLike, token_budget: int = TOKEN_BUDGET) -> list[Ints]:
    """Split rows of `lengths` tokens `(rows,)` into batches of like length, longest first.

    Return the row numbers of each batch. Rows times the longest row stays within `token_budget`;
    a row longer than that goes alone.
    """
    sizes = np.asarray(lengths, np.int64)
    order = np.argsort(-sizes, kind="stable").astype(np.int64)
    batches = []
    start = 0
    while start < len(order):
        longest = max(int(sizes[order[start]]), 1)
        rows = max(token_budget // longest, 1)
        batches.append(order[start : start + rows])
        start += rows
    return batches


def split_rows(batch: Batch) -> Iterator[Batch]:
    """Yield each row of a batch alone, `(1, length)`, without its padding."""
    for row, mask in enumerate(batch.attention_mask):
        part = np.s_[row : row + 1, : int(mask.sum())]
        yield Batch(
            input_ids=batch.input_ids[part],
            attention_mask=batch.attention_mask[part],
            token_type_ids=batch.token_type_ids[part],
        )


def pad(encoded: Sequence[Encoded], pad_token_id: int) -> Batch:
    """Stack rows into one batch `(rows, longest row)`, padded with `pad_token_id`."""
    shape = (len(encoded), max((len(row.ids) for row in encoded), default=0))
    input_ids = np.full(shape, pad_token_id, np.int64)
    attention_mask = np.zeros(shape, np.int64)
    token_type_ids = np.zeros(shape, np.int64)
    for index, row in enumerate(encoded):
        length = len(row.ids)
        input_ids[index, :length] = row.ids
        attention_mask[index, :length] = 1
        token_type_ids[index, :length] = row.type_ids
    return Batch(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
