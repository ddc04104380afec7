"""Whether a variant's change of the metric is more than chance would make on so few texts."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from bertedge.evaluation import Evaluation

LEVEL = 0.05
"""Two-sided."""
RESAMPLES = 1000
BATCH = 100
"""Resamples drawn at a time; bounds the memory."""
SPEARMAN = "spearman"

Floats = NDArray[np.float64]


def is_significant(before: Evaluation, after: Evaluation) -> bool | None:
    """Return whether two models' scores on the same texts differ by more than chance.

    Where a text is right or wrong, by McNemar's exact test: a binomial test of the texts that only
    one of them has right. Elsewhere by the paired bootstrap over texts (Efron & Tibshirani 1993):
    0 lies outside of the percentile interval of the difference. None where nothing is scored.
    """
    one, other = before.per_text, after.per_text
    if one is None or other is None or before.scores is None:
        return None
    if np.array_equal(one, other):
        return False
    if before.scores.metric == SPEARMAN:
        return _bootstrap(_spearman_change, one[:, 0], one[:, 1], other[:, 1], vectorized=False)
    if (one[:, 1] == 1).all() and (other[:, 1] == 1).all() and _is_binary(one, other):
        only = (one[:, 0] > other[:, 0]).sum(), (one[:, 0] < other[:, 0]).sum()
        return bool(stats.binomtest(int(only[0]), int(sum(only))).pvalue < LEVEL)
    return _bootstrap(_ratio_change, *one.T, *other.T, vectorized=True)


def _is_binary(*columns: Floats) -> bool:
    return all(bool(np.isin(each[:, 0], (0, 1)).all()) for each in columns)


def _bootstrap(statistic: object, *samples: Floats, vectorized: bool) -> bool:
    if len(samples[0]) < 2:  # one text tells nothing
        return False
    found = stats.bootstrap(
        samples,
        statistic,
        paired=True,
        vectorized=vectorized,
        n_resamples=RESAMPLES,
        batch=BATCH,
        confidence_level=1 - LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return bool(found.low > 0 or found.high < 0)


def _ratio_change(
    one: Floats, one_of: Floats, other: Floats, other_of: Floats, axis: int = -1
) -> Floats:
    pairs = ((other, other_of), (one, one_of))
    after, before = (
        top.sum(axis=axis) / np.maximum(bottom.sum(axis=axis), 1) for top, bottom in pairs
    )
    return np.asarray(after - before)


def _spearman_change(gold: Floats, one: Floats, other: Floats) -> float:
    ranks = [stats.rankdata(each) for each in (gold, one, other)]
    if min(float(np.ptp(each)) for each in ranks) == 0:  # a resample of one text alone
        return 0.0
    correlations = np.corrcoef(ranks)[0]
    return float(correlations[2] - correlations[1])
