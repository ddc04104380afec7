"""Logits to probabilities, and what differences of logits are measured by."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

WIDE, KEPT = 4096, 256
"""Columns above which logits are subsampled, and at most how many then stay."""


def softmax(logits: Floats) -> Floats:
    """Return the probabilities over the last axis, in the shape of `logits`."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float32)


def sigmoid(logits: Floats) -> Floats:
    """Return a probability for each logit by itself, in the shape of `logits`."""
    small = np.exp(-np.abs(logits))  # never overflows
    return np.asarray(np.where(logits < 0, small, 1.0) / (1.0 + small), np.float32)


def logit_range(logits: Floats) -> float:
    """Return max - min, the unit in which differences of logits are given; 0 where all are equal.

    Where that is less than a hundredth of the largest magnitude, the hundredth: values far from
    zero and near each other, years say, have fewer digits to agree in.
    """
    width = float(logits.max() - logits.min())
    return max(width, float(np.abs(logits).max()) / 100) if width else 0.0


def subsample_logits(logits: Floats) -> Floats:
    """Return every n-th column of logits as wide as a vocabulary, all columns of others.

    Enough to tell a right graph from a wrong one, and few enough to be recorded.
    """
    columns = logits.shape[-1]
    return logits[..., :: -(-columns // KEPT)] if columns > WIDE else logits
