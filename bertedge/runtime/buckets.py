"""Which batches replay a captured CUDA graph, and how they are padded to its shape.

A captured graph has one shape. What it saves is the host's time to launch some hundred kernels,
which is most of a small batch's time and nothing of a large one's: so few shapes, all small.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertedge.runtime.encoding import Batch

ROWS = (1, 4, 8, 32)
LENGTHS = (16, 32, 64, 128, 256, 512)
LARGEST_TOKENS = 4096
"""Above, the GPU takes longer to compute a batch than the host to launch it."""
CHEAP_TOKENS = 512
"""Padding up to this many tokens costs less than launching kernel by kernel would."""
WASTE = 2.0
"""Larger buckets may hold at most this many times the tokens of the batch."""
CAPTURE_BYTES = 512 * 2**20
"""GPU memory that captured graphs may take together, by `capture_bytes`."""
_VALUES_PER_TOKEN = 16
"""Hidden vectors of intermediate results that live at once, rounded up: query, key, value and
attention's output, the residual stream, four of the feed-forward before and after Gelu."""
_HALF_BYTES = 2


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A shape that is captured."""

    tokens: int
    rows: int
    length: int


def plan_buckets(
    max_length: int, hidden_size: int, cap_bytes: int = CAPTURE_BYTES
) -> tuple[Bucket, ...]:
    """Return the shapes to capture, smallest first, as many as fit into `cap_bytes` of memory.

    The longest input of a model is a length of its own, so that its longest texts have a bucket.
    """
    lengths = sorted({min(length, max_length) for length in LENGTHS})
    shapes = (Bucket(rows * length, rows, length) for rows in ROWS for length in lengths)
    kept: list[Bucket] = []
    taken = 0
    for bucket in sorted(shape for shape in shapes if shape.tokens <= LARGEST_TOKENS):
        taken += capture_bytes(bucket, hidden_size)
        if taken > cap_bytes:
            break
        kept.append(bucket)
    return tuple(kept)


def capture_bytes(bucket: Bucket, hidden_size: int) -> int:
    """Return an upper bound of the GPU memory of one captured graph, in bytes.

    It counts as if none shared its intermediate results with another, though those of one arena do.
    """
    return bucket.tokens * hidden_size * _VALUES_PER_TOKEN * _HALF_BYTES


def find_bucket(buckets: Sequence[Bucket], rows: int, length: int) -> Bucket | None:
    """Return the smallest bucket that holds `rows` of `length` tokens without waste, or None."""
    for bucket in buckets:
        if bucket.rows >= rows and bucket.length >= length:
            allowed = max(CHEAP_TOKENS, WASTE * rows * length)
            return bucket if bucket.tokens <= allowed else None
    return None


def pad_to_bucket(
    feed: Mapping[str, NDArray[np.integer]], bucket: Bucket
) -> dict[str, NDArray[np.integer]]:
    """Pad each input `(batch, sequence)` with zeros to `(bucket.rows, bucket.length)`.

    Rows that are padding attend to one token: a softmax over nothing is no number.
    """
    filled = {}
    for name, values in feed.items():
        rows, length = values.shape
        array = np.zeros((bucket.rows, bucket.length), values.dtype)
        array[:rows, :length] = values
        if name == "attention_mask":
            array[rows:, 0] = 1
        filled[name] = array
    return filled


def empty_batch(bucket: Bucket) -> Batch:
    """Return a batch `(bucket.rows, bucket.length)` for capturing: its values do not matter."""
    return Batch.full(np.zeros((bucket.rows, bucket.length)))
