"""The page without a browser: what it says, and that nothing in it needs a network."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

pytest.importorskip("vl_convert", reason="needs the bench extra")

from bertedge import serialization
from bertedge.bench.html.looks import MARKERS, view_of
from bertedge.bench.html.page import render_page
from bertedge.bench.report import Report
from bertedge.html.shades import SHADES

FIGURES = {
    "speedups", "distribution-texts-one-by-one", "pareto", "by-length", "by-batch", "under-load",
    "operators", "cold-start", "on-disk", "installed", "peak-memory", "memory",
}  # fmt: skip


class Page(HTMLParser):
    """Ids, addresses, and what stands in the element of the record."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.missing: set[str] = set()
        self.data = ""
        self._in_data = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self._in_data = found.get("id") == "data"
        self.ids += [found["id"]] if "id" in found else []
        if "missing" in found.get("class", ""):
            self.missing.add(found["id"])
        names = ("src", "href", "xlink:href", "action", "srcset")
        self.addresses += [found[name] for name in names if name in found]

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data


def test_every_figure_is_there_and_none_is_missing(full_page: str):
    page = Page(full_page)
    assert set(page.ids) >= FIGURES
    assert page.missing == set()
    assert len(page.ids) == len(set(page.ids))


def test_what_was_not_measured_says_how_to_get_it(recorded: Report):
    text = render_page(recorded)
    page = Page(text)
    assert page.missing == {"under-load", "operators", "installed", "memory"}
    assert "give --grid" not in text
    one = replace(recorded, workloads=recorded.workloads[:1])
    assert "give --grid 1x16,1x64,1x128" in render_page(one)


def test_nothing_is_fetched(full_page: str):
    assert set(Page(full_page).addresses) == {"data:,"}  # the icon
    assert "@import" not in full_page and "url(" not in full_page


def test_the_record_is_embedded_whole_and_cannot_end_its_element(full: Report):
    hostile = replace(full, command="</script><script>alert(1)</script>")
    text = render_page(hostile)
    assert "<script>alert" not in text
    assert json.loads(Page(text).data) == serialization.to_plain(hostile)


def test_names_are_text_wherever_they_stand(full: Report):
    engines = list(full.engines)
    engines[-1] = replace(engines[-1], name="<b>$x$ & y</b>")
    results = [replace(r, engine="<b>$x$ & y</b>") for r in full.results if r.engine == "cpu-int8"]
    whole = replace(full, engines=tuple(engines), results=tuple(results), open_loads=())
    text = render_page(whole)
    shown = text.partition('<script type="application/json"')[0]
    assert "<b>" not in shown.partition('<ul class="tiles">')[0]
    assert "<b>$x$" not in text
    assert shown.count("&lt;b&gt;$x$ &amp; y&lt;/b&gt;") > 20  # tables, figures, sentences


def test_a_bench_in_which_nothing_ran_is_still_a_page(full: Report):
    engines = [
        replace(e, problem="start: crashed", cold_start=None, cold_starts=(), memory=(),
                peak_memory_bytes=None, installed_bytes=None, labelled=None, on_texts=None,
                on_random_tokens=None)
        for e in full.engines
    ]  # fmt: skip
    nothing = replace(
        full, engines=tuple(engines), results=(), open_loads=(), profiles=(), noise=()
    )
    text = render_page(nothing)
    assert Page(text).missing == (FIGURES - {"on-disk", "distribution-texts-one-by-one"}) | {
        "distribution"
    }
    assert text.count("start: crashed") >= len(engines)


def test_a_start_that_dwarfs_all_others_is_cut_off_and_said_to_be(full: Report, full_page: str):
    start = full.engines[1].cold_start
    assert start
    slow = [
        replace(
            full.engines[1], name=f"peer {i}", cold_start=replace(start, total_s=s, imports_s=s)
        )
        for i, s in enumerate((3.0, 26.0))
    ]
    assert "beyond the axis" not in full_page
    text = render_page(replace(full, engines=(*full.engines, *slow)))
    assert text.count("(beyond the axis)") == 1


def test_a_difference_in_accuracy_within_chance_is_said_to_be(full: Report):
    int8 = full.engines[-1]
    assert int8.labelled
    ours = replace(int8.labelled, value=0.895, agreement=0.99)
    text = render_page(replace(full, engines=(*full.engines[:-1], replace(int8, labelled=ours))))
    assert "0.8950 against 0.9000 on 400 rows, not significant; 99.0%" in text


def test_colors_come_from_the_page_and_text_is_text(full_page: str):
    figures = re.findall(r"<figure.*?</figure>", full_page, flags=re.DOTALL)
    assert figures
    for figure in figures:
        assert not re.search(r"#[0-9a-f]{6}", figure)
        assert "<text" in figure


def test_a_bench_that_is_not_reliable_says_so_before_anything_else(full: Report, full_page: str):
    assert "Not reliable" not in full_page
    text = render_page(replace(full, noise=(replace(full.noise[0], floor=4.02),)))
    body = text.partition("<body>")[2].lstrip()
    assert body.startswith('<p class="unreliable" role="alert"><strong>Not reliable:</strong> ')
    assert "the baseline differs from itself by 402% on 1x16" in body.partition("</p>")[0]
    tiles = body.partition('<ul class="tiles">')[2].partition("</ul>")[0]
    assert tiles.count("(not reliable)") == 2  # latency and cold start, not size and memory


def test_the_title_names_the_bundle_and_the_engines_and_terms_are_explained(full_page: str):
    title = "intents-bundle: cpu-int8 against torch-fp32 and 1 other engine"
    assert f"<title>{title} - bertedge bench</title>" in full_page
    assert f"<h1>{title}</h1>" in full_page
    glossary = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", full_page))
    assert {"baseline", "speed-up", "noise", "max. rate within the latency limit"} <= set(glossary)
    assert glossary["speed-up"].endswith(".")


def test_the_rate_within_the_limit_stands_beside_the_name(full: Report):
    loads = tuple(
        replace(load, max_rate_within_slo=100.0 if load.engine == "cpu-int8" else None)
        for load in full.open_loads
    )
    text = render_page(replace(full, open_loads=loads))
    figure = text.partition('<figure id="under-load"')[2].partition("</figure>")[0]
    legend = re.findall(r"</i>([^<]*)</li>", figure)
    assert legend == ["torch-fp32", "torch-bf16", "cpu-int8 100/s"]


@pytest.mark.parametrize("dark", [False, True])
def test_colors_stand_out_from_their_page(full: Report, dark: bool):
    many = [replace(full.engines[i % 3], name=f"engine {i}") for i in range(30)]
    view = view_of(replace(full, engines=(*full.engines, *many)))
    for name, shade in view.shades().items():
        contrast = ratio(shade[dark], SHADES["card"][dark])
        if name in ("ink", "muted"):
            assert contrast >= 4.5, name  # WCAG 2.1, 1.4.3: text
        elif name not in ("page", "card", "line", "band"):
            assert contrast >= 3, name  # 1.4.11: parts of graphics


def ratio(one: str, other: str) -> float:
    """Contrast as WCAG 2.1 defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_engines_differ_by_more_than_color(full: Report):
    many = [replace(full.engines[1], name=f"peer {i}") for i in range(10)]
    given = view_of(replace(full, engines=(*full.engines, *many))).looks
    assert len({look.marker for look in list(given.values())[: len(MARKERS)]}) == 12
    assert given["cpu-int8"].strong and not given["torch-fp32"].strong
