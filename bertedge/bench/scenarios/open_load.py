"""Open-loop load: texts arrive at a given rate, whether or not the engine keeps up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SHARES = (0.3, 0.5, 0.7, 0.85, 1.0, 1.2)
"""Rates that are offered, in shares of what the engine does without a pause."""
QUICK_SHARES = (0.3, 0.6, 0.9)
LIMIT = 5.0
"""Times the baseline's unloaded median: the latency limit, for the 99th percentile."""
SATURATED = 0.95
MIN_TEXTS, MAX_TEXTS = 20, 1000
"""At each rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPoint:
    """Texts that arrive at random times at one rate, labelled one at a time, first come first."""

    offered_per_s: float
    achieved_per_s: float
    """Texts over the time from the beginning to the last answer."""
    texts: int
    p50_ms: float
    """All five from a text's intended arrival to its answer, its wait in line included: a slow
    engine cannot put off the arrivals (no coordinated omission)."""
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    saturated: bool
    """True where answers came at less than 95 % of the rate of arrivals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoad:
    """Latency of one engine against the rate at which texts arrive."""

    engine: str
    workload: str
    """The workload whose inputs arrive, one at a time."""
    seed: int
    unloaded_p50_ms: float
    """Of the same inputs without waiting."""
    limit_ms: float
    """The latency limit: five times the baseline's unloaded median, the same for all engines. Were
    it of each engine's own, the pauses of a few ms that any system has would rule out the fastest
    first."""
    max_rate_within_slo: float | None
    """Max. rate within the latency limit: the highest rate offered at which the 99th percentile
    stayed within `limit_ms`; None where it did at none."""
    points: tuple[LoadPoint, ...]
    """At rising rates; they end at the first that is saturated."""


def arrivals(rate_per_s: float, seconds: float, *, seed: int) -> tuple[float, ...]:
    """Draw the times of a Poisson process at `rate_per_s`, given the number of its arrivals.

    Given their number, the arrivals are uniform; so the rate offered is just what it is said to be.
    """
    count = min(max(round(rate_per_s * seconds), MIN_TEXTS), MAX_TEXTS)
    times = np.random.default_rng(seed).uniform(0, count / rate_per_s, count)
    return tuple(np.sort(times).round(6).tolist())


def describe_point(
    offered_per_s: float, arrivals_s: Sequence[float], latencies_ms: Sequence[float]
) -> LoadPoint:
    """Sum up what came of one rate."""
    ends_s = np.asarray(arrivals_s) + np.asarray(latencies_ms) / 1000
    achieved = len(arrivals_s) / float(ends_s.max())
    p50, p90, p95, p99, top = np.percentile(latencies_ms, [50, 90, 95, 99, 100])
    return LoadPoint(
        offered_per_s=offered_per_s,
        achieved_per_s=achieved,
        texts=len(arrivals_s),
        p50_ms=float(p50),
        p90_ms=float(p90),
        p95_ms=float(p95),
        p99_ms=float(p99),
        max_ms=float(top),
        saturated=achieved < SATURATED * offered_per_s,
    )


def max_rate_within_slo(points: Sequence[LoadPoint], limit_ms: float) -> float | None:
    """Give the highest rate at which the 99th percentile is within the limit; None if none is."""
    within = (point.offered_per_s for point in points if point.p99_ms <= limit_ms)
    return max(within, default=None)
