"""Layers of a figure: names keep their distance, bars their room."""

from itertools import pairwise

import pytest

pytest.importorskip("vl_convert", reason="needs the bench extra")

from bertedge.bench.html.drawing import LINE, Bar, bars, spread


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


def test_names_that_are_pushed_apart_stay_around_their_lines():
    assert spread([100, 100, 100], 0, 200) == [100 - LINE, 100, 100 + LINE]


@pytest.mark.parametrize("name", ["W" * 90, "\u7f16\u7801" * 40])
def test_a_name_longer_than_its_bar_is_cut_and_marked(name: str):
    svg = bars([Bar(name=name, figure="1 ms", parts=[(1.0, "e0")])], "ms")
    assert name not in svg.replace(f'aria-label="{name}', "") and "…" in svg


def test_names_cannot_become_marks_of_the_drawing():
    bar = Bar(name='</svg><script>"x"', figure="<b>", parts=[(1.0, "e0")])
    svg = bars([bar], "ms")
    assert "<script>" not in svg and "<b>" not in svg and svg.count("</svg>") == 1
