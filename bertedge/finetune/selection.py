"""Which of several dev scores are as good as the best: few rows do not choose by luck."""

import math
from collections.abc import Sequence


def standard_error(score: float, rows: int) -> float:
    """Return the standard error of a share of so many rows."""
    share = min(max(score, 0.0), 1.0)
    return math.sqrt(share * (1 - share) / max(rows, 1))


def least_equal(scores: Sequence[float], rows: int | None) -> float:
    """Return the least score that is as good as the best; None: no other than the best is."""
    best = max(scores)
    return best if rows is None else best - standard_error(best, rows)
