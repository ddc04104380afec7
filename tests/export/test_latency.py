import pytest

from bertedge.export.latency import QUIET, beyond_noise


@pytest.mark.parametrize("middle", [0.4, 0.98, 1.0, 1.02, 2.5])
def test_a_ratio_is_told_where_its_repetitions_are_near_each_other(middle: float) -> None:
    half = 0.49 * QUIET
    ratios = [middle - half, middle, middle + half, middle, middle]
    assert beyond_noise(ratios) == middle


@pytest.mark.parametrize("middle", [0.8, 0.98, 1.0, 1.02, 1.3])
def test_a_ratio_within_the_noise_is_not_told(middle: float) -> None:
    far = abs(middle - 1) + QUIET
    assert beyond_noise([middle, middle + far, middle]) is None
    assert beyond_noise([middle, middle - far, middle]) is None


def test_a_ratio_far_beyond_the_noise_is_told_on_a_busy_machine() -> None:
    assert beyond_noise([2.0, 2.4, 2.8]) == 2.4
