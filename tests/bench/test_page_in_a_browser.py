"""The page in a real Chromium: nothing is wrong, nothing is cut off, in light and in dark."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("vl_convert", reason="needs the bench extra")
pytest.importorskip("selenium", reason="needs the dev extra")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bertedge import serialization
from bertedge.bench.html.page import render_page
from bertedge.bench.reading import read_report
from bertedge.bench.report import Report

BOXES = """
return [...document.querySelectorAll("figure:not(.missing)")].filter(f => f.offsetParent).map(f => {
  const svg = f.querySelector("[role='img'] svg").getBoundingClientRect();
  const texts = [...f.querySelectorAll("svg text")].map(t => t.getBoundingClientRect());
  const shapes = [...f.querySelectorAll("svg path, svg use")].filter(s => {
    const box = s.getBoundingClientRect();
    return box.width + box.height > 4 && !s.closest("defs, clipPath");
  });
  return {name: f.id, left: svg.left, right: svg.right, height: svg.height, shapes: shapes.length,
          texts: texts.length, textLeft: Math.min(...texts.map(t => t.left)),
          textRight: Math.max(...texts.map(t => t.right)),
          textHeight: Math.min(...texts.map(t => t.height))};
});
"""
COLORS = """
const style = getComputedStyle(document.body);
const mark = document.querySelector("#by-length [stroke='var(--e0)']");
return [style.backgroundColor, style.color, getComputedStyle(mark).stroke];
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, full_page: str) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(full_page, encoding="utf-8")
    return path


def look(browser: webdriver.Chrome, page: Path, width: int, scheme: str) -> None:
    """Open the page from disk, as wide as a phone or a desk, light or dark."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    preferred = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preferred]})
    browser.get(page.as_uri())


OVERLAPS = """
const found = [];
document.querySelectorAll("figure:not(.missing)").forEach(f => {
  const texts = [...f.querySelectorAll("svg text")].map(t => [t.textContent.trim(),
    t.getBoundingClientRect()]).filter(([t, b]) => t && b.width);
  texts.forEach(([one, a], i) => texts.slice(i + 1).forEach(([other, b]) => {
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 2 && down > 4) found.push([f.id, one, other, across, down]);
  }));
});
return found;
"""
OUTSIDE = """
const width = document.documentElement.clientWidth;
return [...document.querySelectorAll("h1, h3, p, li, dt, dd, figure, figcaption, svg text, button")]
  .filter(e => e.offsetParent !== null || e.closest("svg"))
  .filter(e => !e.closest(".scroll") && !e.closest("details:not([open])"))
  .map(e => [e.textContent.trim().slice(0, 30), e.getBoundingClientRect()])
  .filter(([_, b]) => b.width && (b.left < 0 || b.right > width + 0.5))
  .map(([t, b]) => [t, b.left, b.right]);
"""


def crowded(report: Report) -> Report:
    """The report with engines of wide names, whose figures lie close together."""
    names = ["W" * 40, "mmmmmmmmmmmmmmmm-int8", "\u7f16\u7801\u5668" * 6, "a b " * 12, "x"]
    peer = report.engines[1]
    engines, results, loads = list(report.engines), list(report.results), list(report.open_loads)
    for i, name in enumerate(names):
        engines.insert(-1, replace(peer, name=name))
        results += [
            replace(
                result,
                engine=name,
                rounds_ms=tuple(tuple(ms * (1 + i / 50) for ms in t) for t in result.rounds_ms),
            )
            for result in report.results
            if result.engine == peer.name
        ]
        loads += [replace(load, engine=name) for load in loads if load.engine == peer.name]
    return replace(report, engines=tuple(engines), results=tuple(results), open_loads=tuple(loads))


@pytest.fixture(scope="module")
def crowded_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the README's bench with engines of wide names."""
    record = Path(__file__).parents[2] / "benchmarks" / "bench_home_intents.json"
    path = tmp_path_factory.mktemp("crowded") / "report.html"
    path.write_text(render_page(crowded(read_report(record))), encoding="utf-8")
    return path


@pytest.fixture(params=["full", "crowded"])
def written(request: pytest.FixtureRequest, page: Path, crowded_page: Path) -> Path:
    return page if request.param == "full" else crowded_page


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_every_figure_fits_nothing_is_cut_off_and_no_two_texts_overlap(
    browser: webdriver.Chrome, written: Path, width: int, scheme: str
):
    look(browser, written, width, scheme)
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    boxes = browser.execute_script(BOXES)
    assert len(boxes) >= 12
    for box in boxes:
        assert box["height"] > 90, box
        assert box["shapes"] >= 3 and box["texts"] >= 3, box
        assert 0 <= box["left"] < box["right"] <= width, box
        assert box["left"] <= box["textLeft"] and box["textRight"] <= box["right"], box
        assert box["textHeight"] >= 10, box  # readable
    assert browser.execute_script(OUTSIDE) == []
    assert browser.execute_script(OVERLAPS) == []
    assert browser.get_log("browser") == []


def test_the_engines_table_fits_a_desk_and_visibly_scrolls_on_a_phone(
    browser: webdriver.Chrome, page: Path
):
    box = "const box = document.querySelector('details[open] .scroll');"
    hidden = f"{box} return box.scrollWidth - box.clientWidth"
    hint = "return document.querySelector('details[open] .hint').offsetHeight"
    look(browser, page, 1280, "light")
    assert browser.execute_script(hidden) <= 0
    assert browser.execute_script(hint) == 0
    look(browser, page, 390, "light")
    assert browser.execute_script(hidden) > 0
    assert browser.execute_script(hint) > 0
    shown = f"{box} return getComputedStyle(box).overflowX"
    assert browser.execute_script(shown) == "scroll"


def test_a_bench_that_is_not_reliable_is_marked_above_everything(
    browser: webdriver.Chrome, tmp_path: Path, full: Report
):
    path = tmp_path / "report.html"
    noisy = replace(full, noise=(replace(full.noise[0], floor=4.02),))
    path.write_text(render_page(noisy), encoding="utf-8")
    look(browser, path, 390, "dark")
    banner = browser.find_element(By.CLASS_NAME, "unreliable")
    bottom = banner.rect["y"] + banner.rect["height"]
    for other in browser.find_elements(By.CSS_SELECTOR, "h1, .eyebrow, .tiles, figure"):
        assert other.rect["y"] >= bottom
    assert browser.get_log("browser") == []


def test_only_the_bundle_its_baseline_and_the_best_rival_have_colour_under_load(
    browser: webdriver.Chrome, tmp_path: Path, full: Report
):
    path = tmp_path / "report.html"
    path.write_text(render_page(crowded(full)), encoding="utf-8")
    look(browser, path, 1280, "light")
    looks = """return [...document.querySelectorAll('#under-load [stroke^="var(--m"]')].map(
      p => [p.getAttribute('aria-label') || '', getComputedStyle(p).stroke]);"""
    grey = browser.execute_script(
        "const p = document.createElement('p'); p.style.color = 'var(--other)';"
        "document.body.append(p); return getComputedStyle(p).color"
    )
    seen = dict(pair for pair in browser.execute_script(looks) if pair[0])
    assert len(seen) == 8
    colored = {name for name, color in seen.items() if color != grey}
    assert colored == {"cpu-int8", "torch-fp32", "torch-bf16"}


def test_one_drawing_serves_light_and_dark(browser: webdriver.Chrome, page: Path):
    seen = {}
    for scheme in ("light", "dark"):
        look(browser, page, 1280, scheme)
        seen[scheme] = browser.execute_script(COLORS)
    for light, dark in zip(seen["light"], seen["dark"], strict=True):
        assert light != dark
        assert "none" not in (light, dark)


def test_an_engine_can_be_pointed_out_with_the_keyboard_too(browser: webdriver.Chrome, page: Path):
    look(browser, page, 1280, "light")
    color = """return i => getComputedStyle(document.querySelector(
      `#by-length [stroke="var(--e${i})"]`)).stroke"""
    strokes = color.replace("return i", "const of = i") + "; return [0, 1, 2].map(of)"
    before = browser.execute_script(strokes)
    button = browser.find_element(By.CSS_SELECTOR, '[data-pick="2"]')
    button.send_keys(Keys.ENTER)
    picked = browser.execute_script(strokes)
    assert picked[2] == before[2] and picked[0] == picked[1] not in before
    assert button.get_attribute("aria-pressed") == "true"
    button.send_keys(Keys.SPACE)
    assert browser.execute_script(strokes) == before


def test_who_points_at_a_mark_reads_its_engine_and_its_figure(
    browser: webdriver.Chrome, page: Path
):
    look(browser, page, 1280, "light")
    titles = browser.execute_script(
        "return [...document.querySelectorAll('#on-disk svg title')].map(t => t.textContent)"
    )
    assert any(title.startswith("cpu-int8: ") and title.endswith(" MiB") for title in titles)
    spoken = browser.execute_script(
        "return [...document.querySelectorAll('figure:not(.missing) [role=img]')]"
        ".map(e => e.getAttribute('aria-label'))"
    )
    assert len(spoken) >= 12 and all(spoken)


def test_the_raw_data_comes_down_as_it_was_recorded(
    browser: webdriver.Chrome, page: Path, tmp_path: Path, full: Report
):
    folder = tmp_path / "downloads"
    folder.mkdir()
    allowed = {"behavior": "allow", "downloadPath": str(folder)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", allowed)
    look(browser, page, 390, "light")
    browser.find_element(By.ID, "download").click()
    path = folder / "bench-intents-bundle.json"
    deadline = time.monotonic() + 10
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert json.loads(path.read_text(encoding="utf-8")) == serialization.to_plain(full)
    assert browser.get_log("browser") == []


def test_it_prints_light_and_unfolded(browser: webdriver.Chrome, page: Path):
    look(browser, page, 1280, "dark")
    media = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    assert browser.execute_script(COLORS)[1] == "rgb(27, 34, 48)"
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    folded = "return document.querySelectorAll('details:not([open])').length"
    assert browser.execute_script(folded) == 0
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(folded) > 0
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
