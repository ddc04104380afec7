from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bertedge.bench.backends import Prepared
from bertedge.bench.protocol import Run
from bertedge.bench.report import LoadPoint
from bertedge.bench.scenarios.open_load import (
    arrivals,
    describe_point,
    max_rate_within_slo,
)
from bertedge.bench.worker import AWAKE_S, take_turn, wait_until


def test_arrivals_are_random_at_just_the_rate():
    times = arrivals(200, 2.0, seed=3)
    assert len(times) == 400
    assert list(times) == sorted(times) and times[0] >= 0 and times[-1] <= 2.0
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.2)  # as of an exponential distribution
    assert times == arrivals(200, 2.0, seed=3) != arrivals(200, 2.0, seed=4)


def test_few_and_many_arrivals_are_bounded_the_rate_kept():
    slow, fast = arrivals(2, 1.0, seed=0), arrivals(10**5, 1.0, seed=0)
    assert len(slow) == 20 and 5 < slow[-1] <= 10
    assert len(fast) == 1000 and 0.005 < fast[-1] <= 0.01


def worked(clock: Any, seconds: float) -> Prepared:
    """An engine that takes so long for an input."""

    def run(number: int) -> np.ndarray:
        clock.now += seconds
        return np.array([number])

    return Prepared(read=list, inputs=2, run=run)


def test_a_latency_counts_from_the_intended_arrival_the_wait_in_line_included(clock: Any):
    request = Run(workload="t", first=0, repeats=3, arrivals_s=(0.0, 0.001, 0.002))
    served = take_turn(worked(clock, 0.03), request)
    assert served.samples_ms == pytest.approx([30, 59, 88], abs=0.1)


def test_an_engine_that_keeps_up_waits_for_each_arrival(clock: Any):
    began = clock.now
    request = Run(workload="t", first=1, repeats=2, arrivals_s=(0.05, 0.1))
    served = take_turn(worked(clock, 0.001), request)
    assert clock.now - began == pytest.approx(0.101, abs=1e-4)
    assert served.samples_ms == pytest.approx([1, 1], abs=0.1)


def test_waiting_ends_at_the_moment_and_sleeps_until_shortly_before(clock: Any):
    moment = clock.now + 0.02
    wait_until(moment)
    assert 0 <= clock.now - moment < 1e-4
    assert clock.slept == pytest.approx(0.02 - AWAKE_S, abs=1e-4)


def test_a_point_is_saturated_where_answers_fall_behind():
    schedule = arrivals(100, 1.0, seed=0)
    even = describe_point(100, schedule, [2.0] * 100)
    assert not even.saturated and even.p50_ms == even.max_ms == 2
    assert even.achieved_per_s == pytest.approx(100, rel=0.05)
    late = describe_point(100, schedule, [10.0 * n for n in range(1, 101)])
    assert late.saturated and late.achieved_per_s == pytest.approx(50, rel=0.05)
    assert late.p50_ms < late.p90_ms < late.p95_ms < late.p99_ms < late.max_ms == 1000


def test_the_knee_is_the_highest_rate_that_is_borne():
    base = LoadPoint(
        offered_per_s=10, achieved_per_s=10, texts=20, p50_ms=1, p90_ms=1, p95_ms=1, p99_ms=2,
        max_ms=3, saturated=False,
    )  # fmt: skip
    points = [
        base,
        replace(base, offered_per_s=20, p99_ms=5),
        replace(base, offered_per_s=30, p99_ms=5.1),
        replace(base, offered_per_s=40, p99_ms=9),
    ]
    assert max_rate_within_slo(points, 5.0) == 20
    assert (
        max_rate_within_slo([points[2], points[1]], 5.0) == 20
    )  # one hiccup at a low rate is no knee
    assert max_rate_within_slo(points[:1], 5.0) == 10
    assert max_rate_within_slo(points[2:], 5.0) is None
