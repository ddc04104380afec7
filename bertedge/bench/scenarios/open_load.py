"""Open-loop load: texts arrive at a given rate, whether or not the engine keeps up."""

import statistics
from collections.abc import Sequence

import numpy as np

from bertedge.bench.protocol import Run, Workload
from bertedge.bench.report import LoadPoint, OpenLoad
from bertedge.bench.runner import EngineRunner, Measurement

SHARES = (0.3, 0.5, 0.7, 0.85, 1.0, 1.2)
"""Rates that are offered, in shares of what the engine does without a pause."""
QUICK_SHARES = (0.3, 0.6, 0.9)
LIMIT = 5.0
"""Times the baseline's unloaded median: the latency limit, for the 99th percentile."""
SATURATED = 0.95
MIN_TEXTS, MAX_TEXTS = 20, 1000
"""At each rate."""
WARM_UP_MS = 200.0
"""Before the first rate."""


def offer_loads(measurement: Measurement, workload: Workload | None) -> None:
    """Offer every engine rising rates of arrivals, until it is saturated."""
    if workload is None or not measurement.settings.load_s:
        return
    name = workload.name
    due = [
        runner
        for runner in measurement.runners
        if runner.spec.noise_control_of is None and runner.samples_of(name) and not runner.problem
    ]
    measurement.begin("open load", name, len(due), "engines")
    for runner in due:
        baseline = measurement.baseline_of(runner)
        unloaded_ms = (baseline and baseline.samples_of(name)) or runner.samples_of(name)
        _offer_load(runner, name, LIMIT * statistics.median(unloaded_ms))
        runner.note_memory("open load")
        measurement.progress.advance(1)


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
    """Return the percentiles and the rate achieved at one rate offered."""
    ends_s = np.asarray(arrivals_s) + np.asarray(latencies_ms) / 1000
    achieved = len(arrivals_s) / float(ends_s.max())
    p50, p90, p95, p99, top = np.percentile(latencies_ms, [50, 90, 95, 99, 100]).tolist()
    return LoadPoint(
        offered_per_s=offered_per_s,
        achieved_per_s=achieved,
        texts=len(arrivals_s),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=top,
        saturated=achieved < SATURATED * offered_per_s,
    )


def max_rate_within_slo(points: Sequence[LoadPoint], limit_ms: float) -> float | None:
    """Return the highest rate at which the 99th percentile is within the limit; None if none is."""
    within = (point.offered_per_s for point in points if point.p99_ms <= limit_ms)
    return max(within, default=None)


def _offer_load(runner: EngineRunner, workload: str, limit_ms: float) -> None:
    settings, samples_ms = runner.settings, runner.samples_of(workload)
    alone_per_s = 1000 / statistics.fmean(samples_ms)
    points: list[LoadPoint] = []
    for number, share in enumerate(QUICK_SHARES if settings.quick else SHARES):
        rate = share * alone_per_s
        schedule = arrivals(rate, settings.load_s, seed=settings.seed + number)
        request = Run(
            workload=workload,
            first=0,
            repeats=len(schedule),
            # It has waited for the other engines: its caches and the clock have gone down.
            warm_up_ms=0.0 if points else WARM_UP_MS,
            arrivals_s=schedule,
        )
        runner.progress.advance(0, f"{runner.spec.name}, {rate:.3g} texts/s")
        ran = runner.run(request, f"open load, {rate:.0f} texts/s")
        if ran is None:
            break
        points.append(describe_point(rate, schedule, ran.samples_ms))
        if points[-1].saturated:
            break
    runner.open_load = OpenLoad(
        engine=runner.spec.name,
        workload=workload,
        seed=settings.seed,
        unloaded_p50_ms=statistics.median(samples_ms),
        limit_ms=limit_ms,
        max_rate_within_slo=max_rate_within_slo(points, limit_ms),
        points=tuple(points),
    )
