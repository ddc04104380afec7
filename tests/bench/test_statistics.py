import numpy as np
import pytest

from bertedge.bench.statistics import paired_ratio, summarize


def test_percentiles_interpolate_linearly():
    summary = summarize([float(n) for n in range(101)])
    assert (summary.p50_ms, summary.p95_ms, summary.p99_ms) == (50, 95, 99)
    assert (summary.mean_ms, summary.min_ms, summary.max_ms, summary.samples) == (50, 0, 100, 101)


def test_percentiles_of_one_sample_are_that_sample():
    summary = summarize([3.5])
    assert summary.p50_ms == summary.p99_ms == summary.mean_ms == 3.5


def test_a_constant_factor_has_no_spread_even_where_the_machine_drifts():
    drift = [[10.0 * (1 + n), 11.0 * (1 + n)] for n in range(10)]
    ratio = paired_ratio(drift, [[ms / 4 for ms in turn] for turn in drift])
    assert ratio.median == pytest.approx(4)
    assert (ratio.low, ratio.high) == (pytest.approx(4), pytest.approx(4))
    assert ratio.rounds == 10


def test_one_slow_run_does_not_move_a_round():
    ratio = paired_ratio([[2.0, 2.0, 2.0]] * 5, [[1.0, 1.0, 500.0]] * 5)
    assert ratio.median == 2


def test_rounds_are_paired_not_pooled():
    # Pooled medians are equal; in every round but one the engine is twice as fast.
    ratio = paired_ratio([[2.0], [4.0], [8.0]], [[1.0], [2.0], [4.0]])
    assert ratio.median == 2


def test_the_interval_is_that_of_an_exhaustive_bootstrap():
    ratios = [1.0, 1.2, 1.7, 2.0, 3.0]
    every = np.median(np.stack(np.meshgrid(*[ratios] * 5)).reshape(5, -1), axis=0)
    ratio = paired_ratio([[r] for r in ratios], [[1.0]] * 5)
    assert ratio.median == 1.7
    assert (ratio.low, ratio.high) == tuple(np.quantile(every, [0.025, 0.975]))


def test_the_interval_covers_the_true_median_about_as_often_as_it_claims():
    generator = np.random.default_rng(5)
    hits = 0
    for _ in range(200):
        ratios = generator.lognormal(np.log(3), 0.2, size=20)
        ratio = paired_ratio([[r] for r in ratios], [[1.0]] * 20)
        assert ratio.low is not None and ratio.high is not None
        hits += ratio.low <= 3 <= ratio.high
    assert 0.88 <= hits / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval():
    noise = np.random.default_rng(1).lognormal(0, 0.3, size=(12, 3)).tolist()
    one, two = ([[1.0]] * 12, noise)
    assert paired_ratio(one, two, seed=3) == paired_ratio(one, two, seed=3)


def test_two_rounds_are_too_few_for_an_interval():
    ratio = paired_ratio([[2.0], [2.0]], [[1.0], [1.0]])
    assert (ratio.median, ratio.low, ratio.high) == (2, None, None)


def test_rounds_that_do_not_pair_are_an_error():
    with pytest.raises(ValueError, match="shorter"):
        paired_ratio([[1.0], [1.0]], [[1.0]])
