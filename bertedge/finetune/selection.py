"""Which of several dev scores are as good as the best: few rows do not choose by luck."""

import math
from collections.abc import Sequence

CLEAR = 2.0
"""Standard errors that an evaluation must be ahead of a later one to be kept instead of it: it is
the best of up to six, and the later one had the lower learning rate."""


def standard_error(score: float, rows: int) -> float:
    """Return the standard error of a share of so many rows.

    Two rows right and two wrong are counted in (Agresti and Coull 1998, "Approximate is better than
    exact"): all of thirty right is no certainty.
    """
    share = (min(max(score, 0.0), 1.0) * rows + 2) / (rows + 4)
    return math.sqrt(share * (1 - share) / (rows + 4))


def least_equal(scores: Sequence[float], rows: int | None, errors: float = 1.0) -> float:
    """Return the least score within so many standard errors of the best; no `rows`: the best."""
    best = max(scores)
    return best if rows is None else best - errors * standard_error(best, rows)
