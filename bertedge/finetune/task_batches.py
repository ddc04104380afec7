"""Which task's rows each step of an optimizer has, where several tasks are trained for."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from bertedge.finetune.length_batches import group_by_length
from bertedge.finetune.shared_encoder import TASK

Rows = Sequence[dict[str, Any]]


def share_steps(rows: Sequence[int], step: int, exponent: float) -> list[int]:
    """Return how many steps of `step` rows each task has in an epoch of all the rows.

    Task i has p_i of them, with p_i in proportion to rows_i ** exponent, rounded, and one at least:
    1 is proportional mixing; less gives small tasks more (temperature 1 / exponent; Raffel et al.
    2020, arXiv:1910.10683, section 3.5.2; the square root: Stickland and Murray 2019,
    arXiv:1902.02671).
    """
    shares = np.asarray(rows, np.float64) ** exponent
    steps = max(len(rows), -(-sum(rows) // step))
    wanted = shares / shares.sum() * steps
    found = np.maximum(np.floor(wanted).astype(int), 1)
    while found.sum() != steps:  # the one that is farthest from its share gains, or gives one up
        more = 1 if found.sum() < steps else -1
        off = np.where((found > 1) | (more > 0), more * (wanted - found), -np.inf)
        found[int(np.argmax(off))] += more
    return [int(each) for each in found]


class TaskSampler(torch.utils.data.Sampler[int]):
    """Rows of all tasks, in steps that have one task each, of similar length.

    The tasks' data follow each other. In an epoch a task's rows come as often as its steps need
    them: all of them before any comes again.
    """

    def __init__(self, lengths: Sequence[Sequence[int]], step: int, exponent: float) -> None:
        self.steps = share_steps([len(each) for each in lengths], step, exponent)
        self._lengths, self._step = lengths, step

    def __len__(self) -> int:
        """Return the rows of an epoch."""
        return sum(self.steps) * self._step

    def __iter__(self) -> Iterator[int]:
        """Yield an epoch's rows; what is random comes from torch's own state, as Trainer's does."""
        blocks, first = [], 0
        for lengths, steps in zip(self._lengths, self.steps, strict=True):
            rows: list[int] = []
            while len(rows) < steps * self._step:
                rows += torch.randperm(len(lengths)).tolist()
            rows = rows[: steps * self._step]
            order = group_by_length([lengths[row] for row in rows], self._step)
            grouped = [first + rows[i] for i in order]
            blocks += [grouped[i : i + self._step] for i in range(0, len(rows), self._step)]
            first += len(lengths)
        for number in torch.randperm(len(blocks)).tolist():
            yield from blocks[number]


class TaskCollator:
    """Makes batches as the task of their rows does."""

    def __init__(self, collators: Sequence[Callable[[Rows], dict[str, torch.Tensor]]]) -> None:
        self._collators = collators

    def __call__(self, rows: Rows) -> dict[str, torch.Tensor]:
        """Return the batch, with the number of its task for each row."""
        number = rows[0][TASK]
        plain = [{name: x for name, x in row.items() if name != TASK} for row in rows]
        return self._collators[number](plain) | {TASK: torch.full((len(rows),), number)}
