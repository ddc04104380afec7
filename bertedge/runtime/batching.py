"""Rows of unequal length to padded batches of bounded size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertedge.runtime.encoding import Encoded
from bertedge.runtime.providers import CPU

TOKEN_BUDGET = CPU.token_budget
"""Padded tokens in a batch of an engine whose device is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a model is fed, padded on the right; every array is `(batch, sequence)`."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]


def plan(lengths: ArrayLike, token_budget: int = TOKEN_BUDGET) -> list[NDArray[np.int64]]:
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
