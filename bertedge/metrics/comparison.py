"""How far two models give the same predictions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.metrics.regression import cosines

SAME_VALUE = 0.05
"""Share of the spread of a model's values by which another may be off and still agree."""


def agreement(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Share of predictions of `one` that `other` gives too, from 0 to 1.

    Label numbers `(n,)` must be equal. Of sets of labels `(n, labels)` it is the micro F1 of one
    against the other, which for sets of one label is that very share. Values `(n,)` must be
    within SAME_VALUE of the spread (max - min) of those of `one`. Of embeddings
    `(n, texts, hidden)` it is their mean cosine.
    """
    if one.ndim == 3:
        return float(cosines(one, other).mean())
    match one.dtype.kind:
        case "b":
            given = int(one.sum() + other.sum())
            return 2 * int((one & other).sum()) / given if given else 1.0
        case "f":
            same = np.abs(one - other) <= SAME_VALUE * (one.max() - one.min())
        case _:
            same = one == other
    return float(np.mean(same))
