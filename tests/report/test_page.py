"""The page: what it says, that nothing in it needs a network, and how a real Chromium shows it."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("vl_convert", reason="needs the report extra")
pytest.importorskip("selenium", reason="needs the dev extra")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from bertedge import serialization
from bertedge.report import Report
from bertedge.report.page import render_page

SECTIONS = {
    "findings", "labels", "errors", "parts", "robustness", "fairness", "the-data", "comparison",
    "training", "glossary",
}  # fmt: skip
OUTSIDE = """
const wide = document.documentElement.clientWidth;
return [...document.querySelectorAll("body *")].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width && !e.closest(".scroll, svg, .skip") && (box.left < -1 || box.right > wide + 1);
}).map(e => e.outerHTML.slice(0, 80));
"""
CONTRAST = """
function light(color) {
  const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(Number).map((v, i, all) =>
    color.startsWith("color(") ? v : v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
return [...document.querySelectorAll(".matrix td")].map(cell => {
  const style = getComputedStyle(cell);
  const [a, b] = [light(style.color), light(style.backgroundColor)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
});
"""


class Page(HTMLParser):
    """Ids, addresses, headings, and tables without a caption."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.headings: list[int] = []
        self.tables = self.captions = 0
        self.data = ""
        self._in_data = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self._in_data = found.get("id") == "data"
        self.ids += [found["id"]] if "id" in found else []
        self.headings += [int(tag[1])] if re.fullmatch(r"h\d", tag) else []
        self.tables += tag == "table"
        self.captions += tag == "caption"
        names = ("src", "href", "xlink:href", "action", "srcset")
        self.addresses += [found[name] for name in names if name in found]

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data


@pytest.fixture(scope="module")
def text(full: Report) -> str:
    return render_page(full)


def test_every_section_is_there_with_headings_in_order_and_captions_on_tables(text: str) -> None:
    page = Page(text)
    assert set(page.ids) >= SECTIONS and len(page.ids) == len(set(page.ids))
    assert page.tables == page.captions >= 9
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    steps = zip(page.headings, page.headings[1:], strict=False)
    assert all(after <= before + 1 for before, after in steps)
    links = [each[1:] for each in page.addresses if each.startswith("#")]
    assert set(links) <= set(page.ids)


def test_nothing_is_fetched_and_what_the_file_says_is_text(full: Report, text: str) -> None:
    outside = [each for each in Page(text).addresses if not each.startswith(("#", "data:,"))]
    assert outside == [] and "@import" not in text and "url(" not in text
    hostile = replace(full, model="<script>alert(1)</script>", command="</script><b>")
    page = render_page(hostile)
    assert "<script>alert" not in page and "</script><b>" not in page and "<i>stay" not in page
    assert json.loads(Page(page).data) == serialization.to_plain(hostile)


def test_what_was_not_looked_at_is_left_out(full: Report) -> None:
    bare = replace(
        full, robustness=None, fairness=(), comparison=None, curves=(), errors=(), doubts=None,
        learning_curve=None,
        bins=(), calibration=None,
    )  # fmt: skip
    page = Page(render_page(bare))
    assert not {"robustness", "fairness", "comparison", "training"} & set(page.ids)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_and_the_matrix_is_readable(
    browser: webdriver.Chrome, tmp_path: Path, text: str, width: int, scheme: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    preferred = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preferred]})
    browser.get(path.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(OUTSIDE) == []
    for figure in browser.find_elements(By.CSS_SELECTOR, "figure [role=img] svg"):
        assert figure.size["height"] > 50 and figure.size["width"] > 250
    assert min(browser.execute_script(CONTRAST)) >= 4.5  # WCAG 2.1, 1.4.3
    assert browser.get_log("browser") == []


def test_the_keyboard_reaches_the_findings_and_every_table(
    browser: webdriver.Chrome, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    browser.get(path.as_uri())
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    active = browser.switch_to.active_element
    assert active.get_attribute("class") == "skip"
    active.send_keys(Keys.ENTER)
    assert browser.current_url.endswith("#main")
    regions = browser.find_elements(By.CSS_SELECTOR, ".scroll")
    assert regions and all(each.get_attribute("tabindex") == "0" for each in regions)
    assert all(each.get_attribute("aria-label") for each in regions)
