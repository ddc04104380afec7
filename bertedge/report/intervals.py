"""95 % intervals of a metric, from each text's part of it.

`per_text` is `(texts, 2)` as `Evaluation.per_text` has it: the metric is the sum of the first
column over that of the second, or Spearman's correlation of the two.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertedge.metrics import value_scores

SPEARMAN = "spearman"
RESAMPLES = 1000
_HELD = 4_000_000
"""Numbers drawn at a time; bounds the memory."""
_Z = 1.959964

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def metric_of(per_text: Floats, metric: str) -> float:
    """Compute the metric of some texts; 0 where it is a ratio of nothing."""
    if metric == SPEARMAN:
        return value_scores(per_text[:, 0], per_text[:, 1]).value if len(per_text) > 1 else 0.0
    top, bottom = per_text.sum(axis=0)
    return float(top / bottom) if bottom else 0.0


def interval(per_text: Floats, metric: str) -> Interval:
    """Return the metric with Wilson's interval where texts are right or wrong, else bootstrapped.

    Wilson (1927), "Probable inference", eq. 8; percentile bootstrap: Efron & Tibshirani (1993).
    """
    value = metric_of(per_text, metric)
    if metric != SPEARMAN and (per_text[:, 1] == 1).all() and np.isin(per_text[:, 0], (0, 1)).all():
        return wilson(int(per_text[:, 0].sum()), len(per_text))
    found = resample(per_text, metric)
    low, high = np.quantile(found, (0.025, 0.975))
    return Interval(value=value, low=float(low), high=float(high))


def wilson(right: int, count: int) -> Interval:
    """Return a share with Wilson's score interval; 0 to 1 where there is nothing to count."""
    if not count:
        return Interval(value=0.0, low=0.0, high=1.0)
    share = right / count
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    spread = share * (1 - share) / count + _Z**2 / (4 * count**2)
    half = _Z / (1 + _Z**2 / count) * float(np.sqrt(spread))
    return Interval(value=share, low=max(centre - half, 0.0), high=min(centre + half, 1.0))


def difference(before: Floats, after: Floats, metric: str) -> Interval:
    """Return `after` minus `before`, both of the same texts, by the paired bootstrap."""
    value = metric_of(after, metric) - metric_of(before, metric)
    changes = resample(after, metric) - resample(before, metric)  # the same texts are drawn
    low, high = np.quantile(changes, (0.025, 0.975))
    return Interval(value=value, low=float(low), high=float(high))


def gap(one: Floats, other: Floats, metric: str) -> Interval:
    """Return how much `other` is above `one`, of different texts."""
    value = metric_of(other, metric) - metric_of(one, metric)
    changes = resample(other, metric, seed=1) - resample(one, metric)
    low, high = np.quantile(changes, (0.025, 0.975))
    return Interval(value=value, low=float(low), high=float(high))


def resample(per_text: Floats, metric: str, seed: int = 0) -> Floats:
    """Return the metric of RESAMPLES draws, with replacement, of as many texts."""
    rng = np.random.default_rng(seed)
    count = len(per_text)
    if metric == SPEARMAN:
        draws = (rng.integers(count, size=count) for _ in range(RESAMPLES))
        return np.array([metric_of(per_text[draw], metric) for draw in draws])
    found: list[float] = []
    while len(found) < RESAMPLES:
        rows = min(max(1, _HELD // max(count, 1)), RESAMPLES - len(found))
        drawn = per_text[rng.integers(count, size=(rows, count))].sum(axis=1)
        found += (drawn[:, 0] / np.maximum(drawn[:, 1], 1e-12)).tolist()
    return np.array(found)
