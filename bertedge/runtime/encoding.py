"""One row for the model, and the windows in which a text that is too long is read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


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
