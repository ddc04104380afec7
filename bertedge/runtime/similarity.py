"""How alike texts are: cosines of their embeddings."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertedge.errors import DataError
from bertedge.metrics import unit


def cosine_matrix(one: ArrayLike, other: ArrayLike) -> NDArray[np.float32]:
    """Give the cosine of each embedding of `one` with each of `other` `(one, other)`."""
    vectors = [np.atleast_2d(np.asarray(each, np.float32)) for each in (one, other)]
    widths = [each.shape[1] for each in vectors]
    if widths[0] != widths[1] or any(each.ndim != 2 for each in vectors):
        shapes = " and ".join(str(each.shape) for each in vectors)
        raise DataError(f"embeddings are {shapes}; both must be of one model, (texts, hidden)")
    return np.asarray(unit(vectors[0]) @ unit(vectors[1]).T, np.float32)
