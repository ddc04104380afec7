"""The order of an epoch's rows: texts of similar length in a batch, and all else left to chance."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

SPREAD = 0.05
"""Standard deviation of what is added to the logarithm of a length before rows are sorted by it: a
batch has other rows in each epoch."""


class LengthSampler(torch.utils.data.Sampler[int]):
    """All rows, those of similar length in one batch."""

    def __init__(self, lengths: Sequence[int], step: int) -> None:
        self._lengths, self._step = lengths, step

    def __len__(self) -> int:
        """Return the rows of an epoch."""
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        """Yield an epoch's rows."""
        return iter(group_by_length(self._lengths, self._step))


def group_by_length(lengths: Sequence[int], step: int) -> list[int]:
    """Return the numbers of all rows, of which every `step` on end are of similar length.

    Trainer's own sampler sorts quarters of a small file and no more: with 300 rows in batches of 16
    a third of what a model reads is padding. Here all rows are sorted, by lengths that are a little
    off. The batch of the longest row is the first, so that memory which is not enough fails at
    once; the others are in random order, and those that fill no step come last. What is random
    comes from torch's own state.
    """
    sizes = np.maximum(lengths, 1)
    noise = SPREAD * torch.randn(len(sizes), dtype=torch.float64).numpy()
    order = np.argsort(noise - np.log(sizes), kind="stable")
    steps, rest = divmod(len(order), step)
    start = step * int(torch.randint(steps + 1, ()))  # any length may be among those left over
    left = order[start : start + rest]
    blocks = np.delete(order, np.s_[start : start + rest]).reshape(steps, step)
    first = [int(sizes[blocks].max(axis=1).argmax())] if steps else []
    others = [number for number in torch.randperm(steps).tolist() if number not in first]
    return [int(row) for row in (*blocks[first + others].ravel(), *left)]
