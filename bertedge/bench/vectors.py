"""Embeddings as the whole numbers that engines answer with, and how alike two engines' are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bertedge.metrics import cosines

if TYPE_CHECKING:
    from bertedge.bench.backends import Labels

PARTS = 1_000_000
"""Of 1; float32 tells no more apart."""


def as_labels(vectors: NDArray[np.floating]) -> "Labels":
    """Write embeddings `(texts, hidden)` in millionths, one after the other."""
    return np.rint(vectors.astype(np.float64) * PARTS).astype(np.int64).ravel()


def sum_of_cosines(one: Sequence[int], other: Sequence[int], texts: int) -> float:
    """Add up the cosines of what two engines answered to so many texts; 0 for other counts."""
    if not texts or len(one) != len(other) or len(one) % texts:
        return 0.0
    vectors = (np.array(each, np.float64).reshape(texts, -1) for each in (one, other))
    return float(cosines(*vectors).sum())
