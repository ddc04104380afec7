"""Open-loop load: texts arrive when they will, whether the engine keeps up or not."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPoint:
    """Texts that arrive at random times at one rate, labelled one at a time, first come first."""

    offered_per_s: float
    achieved_per_s: float
    """Texts over the time from the first arrival to the last answer."""
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
    """Of the same inputs without waiting; the unit of `limit_ms`, and the rates follow from it."""
    limit_ms: float
    """Five times that."""
    knee_per_s: float | None
    """The highest rate offered up to which, at every rate, the 99th percentile stayed within
    `limit_ms`; None where not even the lowest did."""
    points: tuple[LoadPoint, ...]
    """At rising rates; they end at the first that is saturated."""
