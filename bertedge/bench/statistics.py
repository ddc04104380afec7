"""Percentiles of latencies, and speed-ups paired by round with a bootstrap interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
CONFIDENCE = 0.95
MIN_ROUNDS = 3
"""Below this no interval is given: resampling one or two rounds says nothing of their spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The distribution of latencies, pooled over rounds."""

    samples: int
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    """Close to the maximum where there are fewer than some hundred samples."""
    mean_ms: float
    min_ms: float
    max_ms: float


class Difference(StrEnum):
    """What a ratio comes to."""

    FASTER = "faster"
    SLOWER = "slower"
    NONE = "none"
    """Its interval does not lie wholly beyond the noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times as fast as the baseline."""

    median: float
    """Of the rounds' ratios; each is the baseline's median in that round over the engine's."""
    low: float | None
    """Lower end of the bootstrap interval; None where there were too few rounds for one."""
    high: float | None
    confidence: float
    rounds: int


def difference(low: float, high: float, floor: float) -> Difference:
    """Return what the interval of a speed-up shows: it must lie beyond the noise whole."""
    if low > 1 + floor:
        return Difference.FASTER
    return Difference.SLOWER if high < 1 - floor else Difference.NONE


def is_open(low: float, high: float, floor: float) -> bool:
    """Return whether an interval leaves open which of the differences is there."""
    return any(low <= end <= high for end in (1 - floor, 1 + floor))


def certain_distance(ratio: Ratio) -> float:
    """Return how far from 1 a ratio is beyond doubt: 0 where its interval covers 1."""
    if ratio.low is None or ratio.high is None:
        return abs(ratio.median - 1)
    return max(ratio.low - 1, 1 - ratio.high, 0.0)


def summarize(samples_ms: Sequence[float]) -> Summary:
    """Describe a non-empty sample; percentiles interpolate linearly."""
    low, p50, p90, p95, p99, top = np.percentile(samples_ms, [0, 50, 90, 95, 99, 100]).tolist()
    return Summary(
        samples=len(samples_ms),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        mean_ms=float(np.mean(samples_ms)),
        min_ms=low,
        max_ms=top,
    )


def ratio_interval(parts: NDArray[np.float64], *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of a ratio of sums, as a mean or an F1 is one, rows resampled.

    `parts` `(rows, 2)` has what each row adds to the numerator and to the denominator.
    """
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(RESAMPLES // 10):
        over, under = parts[generator.integers(0, len(parts), len(parts))].sum(axis=0)
        values.append(over / under if under else 0.0)
    return percentile_interval(np.array(values))


def resampled_medians(values: Sequence[float], *, seed: int = 0) -> NDArray[np.float64]:
    """Return the medians of resamples of `values` (bootstrap)."""
    picks = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    return np.asarray(np.median(np.asarray(values)[picks], axis=1))


def median_interval(values: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the median of independent values."""
    return percentile_interval(resampled_medians(values, seed=seed))


def percentile_interval(estimates: NDArray[np.float64]) -> tuple[float, float]:
    """Return between which values the middle 95 % of resampled estimates lie."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(estimates, [tail, 1 - tail])
    return float(low), float(high)


def paired_ratio(
    baseline_ms: Sequence[Sequence[float]], engine_ms: Sequence[Sequence[float]], *, seed: int = 0
) -> Ratio:
    """Compare two engines round by round; `[i]` of both holds the samples of the same round.

    Rounds are paired because a shared machine drifts: what slows a whole round slows both sides
    of its ratio. The interval resamples rounds, not runs, since runs of a round are not
    independent (percentile bootstrap of the median, Efron and Tibshirani 1993, chapter 13).
    """
    pairs = zip(baseline_ms, engine_ms, strict=True)
    ratios = [float(np.median(slow) / np.median(fast)) for slow, fast in pairs]
    low = high = None
    if len(ratios) >= MIN_ROUNDS:
        low, high = median_interval(ratios, seed=seed)
    return Ratio(
        median=float(np.median(ratios)),
        low=low,
        high=high,
        confidence=CONFIDENCE,
        rounds=len(ratios),
    )
