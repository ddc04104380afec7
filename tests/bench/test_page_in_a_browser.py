"""The page in a real Chromium: nothing is wrong, nothing is cut off, in light and in dark."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs the bench extra")
pytest.importorskip("selenium", reason="needs the dev extra")

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from bertedge import records
from bertedge.bench.html.page import render_page
from bertedge.bench.report import Report

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
    "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
WIDTHS = (390, 1280)
BOXES = """
return [...document.querySelectorAll("figure:not(.missing)")].filter(f => f.offsetParent).map(f => {
  const svg = f.querySelector("svg").getBoundingClientRect();
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
const marks = document.querySelectorAll("#by-length [data-engine] path");
return [style.backgroundColor, style.color, getComputedStyle(marks[0]).stroke];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs chromium and chromedriver (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        chrome = webdriver.Chrome(options=options, service=Service(driver))
    except WebDriverException as error:
        pytest.skip(f"chromium does not start here: {str(error).splitlines()[0]}")
    yield chrome
    chrome.quit()


@pytest.fixture
def page(tmp_path: Path, full: Report) -> Path:
    path = tmp_path / "report.html"
    path.write_text(render_page(full), encoding="utf-8")
    return path


def look(browser: webdriver.Chrome, page: Path, width: int, scheme: str) -> None:
    """Open the page from disk, as wide as a phone or a desk, light or dark."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    preferred = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preferred]})
    browser.get(page.as_uri())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_shows_and_fits(
    browser: webdriver.Chrome, page: Path, width: int, scheme: str
):
    look(browser, page, width, scheme)
    # Everything folded is looked at too.
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
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("knees", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_the_rate_of_a_knee_is_written_inside_its_figure(
    browser: webdriver.Chrome, tmp_path: Path, full: Report, knees: tuple[int, int]
):
    """Wherever the knees of baseline and bundle lie: at the first rate, at the last."""
    which = {"torch-fp32": knees[0], "cpu-int8": knees[1]}
    loads = tuple(
        replace(load, knee_per_s=load.points[which.get(load.engine, 0)].offered_per_s)
        for load in full.open_loads
    )
    path = tmp_path / "report.html"
    path.write_text(render_page(replace(full, open_loads=loads)), encoding="utf-8")
    look(browser, path, 390, "light")
    (box,) = [box for box in browser.execute_script(BOXES) if box["name"] == "under-load"]
    assert box["left"] <= box["textLeft"] and box["textRight"] <= box["right"], box


def test_one_drawing_serves_light_and_dark(browser: webdriver.Chrome, page: Path):
    seen = {}
    for scheme in ("light", "dark"):
        look(browser, page, 1280, scheme)
        seen[scheme] = browser.execute_script(COLORS)
    for light, dark in zip(seen["light"], seen["dark"], strict=True):
        assert light != dark
        assert "none" not in (light, dark)


def test_an_engine_can_be_pointed_out(browser: webdriver.Chrome, page: Path):
    look(browser, page, 1280, "light")
    browser.find_element(By.CSS_SELECTOR, '[data-pick="2"]').click()
    time.sleep(0.4)  # the transition
    faded = "return [...document.querySelectorAll('#by-length [data-engine]')].map(p => "
    faded += "[p.dataset.engine, +getComputedStyle(p).opacity])"
    shown = dict(browser.execute_script(faded))
    assert shown["2"] == 1 and shown["0"] < 0.5
    browser.find_element(By.CSS_SELECTOR, '[data-pick="2"]').click()
    time.sleep(0.4)
    assert {opacity for _, opacity in browser.execute_script(faded)} == {1}


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
    assert json.loads(path.read_text(encoding="utf-8")) == records.to_plain(full)
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
