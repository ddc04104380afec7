from itertools import pairwise

import pytest

pytest.importorskip("matplotlib", reason="needs the bench extra")

from bertedge.bench.html.labels import LINE, fit, spread, width


@pytest.mark.parametrize(
    "wanted", [[50.0], [10, 10, 10], [0, 200], [99, 100, 100], [-50, 300], [5.0] * 9, [1.0] * 40]
)
def test_names_at_the_ends_of_lines_keep_their_order_distance_and_bounds(wanted: list[float]):
    placed = spread(wanted, 0, 200)
    step = min(LINE, 200 / max(len(wanted) - 1, 1))
    assert all(after - before >= step - 1e-9 for before, after in pairwise(placed))
    assert placed[0] >= -1e-9 and placed[-1] <= 200 + 1e-9


def test_names_with_room_stay_where_they_are():
    assert spread([10, 50, 120], 0, 200) == [10, 50, 120]


@pytest.mark.parametrize("name", ["cpu-int8", "W" * 90, "$x$", "  ", "\u7f16\u7801" * 20])
def test_a_name_is_cut_to_its_room_and_marked(name: str):
    cut = fit(name, 90, strong=True)
    assert cut == name or (cut.endswith("…") and width(cut, strong=True) <= 90)
