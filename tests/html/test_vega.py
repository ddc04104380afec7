"""Bars keep their room, and names are only ever text."""

import pytest

pytest.importorskip("vl_convert", reason="needs the bench extra")

from bertedge.html.vega import Bar, bars


@pytest.mark.parametrize("name", ["W" * 90, "\u7f16\u7801" * 40])
def test_a_name_longer_than_its_bar_is_cut_and_marked(name: str):
    svg = bars([Bar(name, "1 ms", [(1.0, "e0")])], "ms")
    assert svg and name not in svg.replace(f'aria-label="{name}', "") and "…" in svg


def test_names_cannot_become_marks_of_the_drawing():
    svg = bars([Bar('</svg><script>"x"', "<b>", [(1.0, "e0")])], "ms")
    assert svg and "<script>" not in svg and "<b>" not in svg and svg.count("</svg>") == 1
