"""The page at `/`: what is sent, and how a real Chromium shows and uses it."""

import base64
import hashlib
import importlib.util
import json
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

pytest.importorskip("selenium", reason="needs the dev extra")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from bertedge.cli import main
from bertedge.serve.recent import KEPT, Recent

from .conftest import INTENTS, REPOSITORY, TAGS, TEXTS, Server, Start

OTHERS = ("question-answering", "multiple-choice", "fill-mask", "feature-extraction")
TEXT = "\U0001f642 turn the hall \U0001d4b3 lights off, and play jazz"
HOSTILE = "lights <script>alert(1)</script> <img src=x onerror=alert(2)> off"
LONG = "a-name-of-64-letters-" + "x" * 43
PATIENCE_S = 20.0
OUTSIDE = """
const wide = document.documentElement.clientWidth;
return [...document.querySelectorAll("body *")].filter(e => {
  const box = e.getBoundingClientRect();
  const inside = box.left >= -1 && box.right <= wide + 1;
  return box.width && !inside && !e.closest(".scroll, svg, .spoken");
}).map(e => e.outerHTML.slice(0, 80));
"""
CONTRAST = """
const probe = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
function light(color) {
  probe.fillStyle = color;
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...probe.getImageData(0, 0, 1, 1).data].map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ground(e) {
  const color = getComputedStyle(e).backgroundColor;
  return color === "rgba(0, 0, 0, 0)" ? ground(e.parentElement) : color;
}
return [...document.querySelectorAll("body *")].filter(e =>
  e.getBoundingClientRect().width && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())
).map(e => {
  const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
  return [e.outerHTML.slice(0, 60), (a + 0.05) / (b + 0.05)];
}).filter(([_, ratio]) => ratio < 4.5);
"""
FETCHED = "return performance.getEntriesByType('resource').map(e => e.name)"
CASES: dict[str, dict[str, str]] = {
    LONG: {"text": HOSTILE},
    "tags": {"text": TEXT},
    "intents": {"text": TEXT},
    "question-answering": {"question": "where are the lights", "context": f"{TEXT}\nin the hall"},
    "multiple-choice": {"context": "turn the lights on", "endings": f"music\n{'long ' * 30}\nhall"},
    "fill-mask": {"text": "turn the [MASK] in the [MASK] off"},
    "feature-extraction": {"text": "lights on\nthe hall lights are on\nmusic\nwhere"},
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle of each task; those that are not in the repository are made."""
    pytest.importorskip("optimum.exporters.onnx", reason="needs the export extra")
    from bertedge.export import ExportConfig, export
    from bertedge.spec import Task

    path = REPOSITORY / "tests" / "installed" / "make_bundles.py"
    spec = importlib.util.spec_from_file_location("make_bundles", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("bundles")
    for name in OTHERS:
        checkpoint = module.make_checkpoint(Task(name), folder / "checkpoints" / name)
        export(ExportConfig(checkpoint=str(checkpoint), output=folder / name, task=Task(name)))
    own = {LONG: TEXTS, "tags": TAGS, "intents": INTENTS}
    return {**own, **{name: folder / name for name in OTHERS}}


@pytest.fixture(scope="module")
def served(bundles: dict[str, Path]) -> Iterator[Server]:
    found = Server(*[f"{name}={path}" for name, path in bundles.items()])
    yield found
    assert found.stop() == 0
    assert not [line for line in found.lines if "Traceback" in line], found.lines


def look(browser: webdriver.Chrome, url: str, width: int = 1280, scheme: str = "light") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    preferred = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preferred]})
    browser.get("about:blank")  # so that an address that differs by its fragment is loaded too
    browser.get_log("browser")  # of the page before
    browser.get(url)


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    return pytest.fail("it did not come")


def said(browser: webdriver.Chrome, element: str = "said") -> str:
    script = "return document.getElementById(arguments[0]).textContent"
    return str(browser.execute_script(script, element))


def fill(browser: webdriver.Chrome, fields: dict[str, str]) -> None:
    """Put texts in fields as typing would; the driver itself types no more than the first plane."""
    script = (
        "const [e, text] = [document.getElementById(arguments[0]), arguments[1]];"
        "e.value = text; e.dispatchEvent(new Event('input'))"
    )
    for name, text in fields.items():
        browser.execute_script(script, f"field-{name}", text)


def ask(browser: webdriver.Chrome, model: str, fields: dict[str, str]) -> None:
    wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, "#model option"))
    Select(browser.find_element(By.ID, "model")).select_by_visible_text(model)
    fill(browser, fields)
    browser.execute_script("document.getElementById('said').textContent = ''")
    browser.find_element(By.ID, "ask").click()
    wait_for(lambda: said(browser) or said(browser, "error"))


def predicted(bundle: Path, text: str) -> dict[str, Any]:
    """What `bertedge predict` prints."""
    done = CliRunner().invoke(main, ["predict", str(bundle), text])
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.addresses: list[str] = []
        self.references: list[str] = []
        self.styled = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids += [found["id"]] if "id" in found else []
        self.headings += [int(tag[1])] if re.fullmatch(r"h\d", tag) else []
        self.addresses += [found[name] for name in ("src", "href", "action") if name in found]
        names = ("for", "aria-labelledby", "aria-describedby")
        self.references += [found[name] for name in names if name in found]
        self.styled += "style" in found or any(name.startswith("on") for name in found)


def test_the_page_needs_no_network_and_its_policy_lets_nothing_else_run(server: Server) -> None:
    found = server.client.get("/")
    assert found.headers["content-type"] == "text/html; charset=utf-8"
    assert found.headers["x-content-type-options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in
                  found.headers["content-security-policy"].split(";"))  # fmt: skip
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'" and policy["form-action"] == "'none'"
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", found.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[kind] == f"'sha256-{digest}'"
    page = Page(found.text)
    assert page.addresses == ["data:,"] and page.styled == 0
    assert (
        "url(" not in found.text and "@import" not in found.text and "innerHTML" not in found.text
    )


def test_headings_are_in_order_and_references_are_to_what_is_there(server: Server) -> None:
    page = Page(server.client.get("/").text)
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    steps = zip(page.headings, page.headings[1:], strict=False)
    assert all(after <= before + 1 for before, after in steps)
    assert len(page.ids) == len(set(page.ids))
    assert page.references and set(page.references) <= set(page.ids)


def test_the_state_is_what_requests_made_it(server: Server) -> None:
    before = {each["name"]: each for each in server.client.get("/status").json()["models"]}
    server.client.post("/predict/intents", json=["a", "b"])
    server.client.post("/predict/intents", json=7)
    state = server.client.get("/status").json()
    after = {each["name"]: each for each in state["models"]}
    assert state["unready"] is None and list(after) == ["texts", "tags", "intents"]
    assert after["intents"]["errors_per_second"] > 0
    assert after["intents"]["rows_per_second"] > 0
    assert 0 < after["intents"]["p50_ms"] <= after["intents"]["p99_ms"]
    assert after["intents"]["queued_tokens"] == 0
    assert after["intents"]["sha256"] == before["intents"]["sha256"]


def test_percentiles_and_rates_are_those_of_the_answers() -> None:
    recent = Recent()
    assert recent.summary("a")["p50_ms"] is None
    for number in range(1, 101):
        recent.answered("a", 2, number / 1000)
    recent.failed("a")
    found = recent.summary("a")
    assert (found["p50_ms"], found["p99_ms"], found["errors_per_second"]) == (50, 99, 0.1)
    assert found["requests_per_second"] == 10 and found["rows_per_second"] == 20
    for _ in range(2 * KEPT):
        recent.answered("b", 1, 0.001)
    assert (recent.summary("b")["requests_per_second"] or 0) > KEPT / 10
    assert recent.summary("c")["errors_per_second"] == 0


def test_without_the_page_nothing_is_there(start: Start) -> None:
    client = start(f"texts={TEXTS}", "--no-page").client
    assert client.get("/").status_code == client.get("/status").status_code == 404
    assert client.post("/predict", json="a").status_code == 200


@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")]
)
def test_every_task_is_shown_and_nothing_is_cut_off(
    browser: webdriver.Chrome, served: Server, width: int, scheme: str
) -> None:
    look(browser, f"{served.url}/", width, scheme)
    for model, fields in CASES.items():
        ask(browser, model, fields)
        assert said(browser, "error") == "" and said(browser)
        assert browser.find_elements(By.CSS_SELECTOR, "#answer .bars li, #answer table")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script(OUTSIDE) == [], model
        assert browser.execute_script(CONTRAST) == [], model  # WCAG 2.1, 1.4.3
    browser.execute_script("document.getElementById('raw').open = true")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(OUTSIDE) == []
    assert browser.get_log("browser") == []
    assert all(each.startswith(served.url) for each in browser.execute_script(FETCHED))


def test_a_text_gets_the_label_of_bertedge_predict_and_stays_a_text(
    browser: webdriver.Chrome, served: Server
) -> None:
    look(browser, f"{served.url}/#{LONG}")
    ask(browser, LONG, {"text": HOSTILE})
    found = predicted(TEXTS, HOSTILE)
    assert said(browser) == f"{found['label']}, {100 * found['score']:.1f}\u00a0%"
    shown = browser.execute_script(
        "return [...document.querySelectorAll('.bars li')].map("
        "li => [li.children[0].textContent, li.children[1].textContent])"
    )
    ranked = sorted(found["scores"].items(), key=lambda pair: -pair[1])
    assert shown == [[label, f"{100 * score:.1f}\u00a0%"] for label, score in ranked]
    browser.execute_script("document.getElementById('raw').open = true")
    assert HOSTILE in said(browser, "curl") and json.loads(said(browser, "json"))["text"] == HOSTILE
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 1
    assert browser.find_elements(By.TAG_NAME, "img") == []
    assert browser.get_log("browser") == []


@pytest.mark.parametrize(
    ("model", "bundle", "key"), [("tags", TAGS, "entities"), ("intents", INTENTS, "slots")]
)
def test_spans_are_marked_where_they_are_whatever_stands_before_them(
    browser: webdriver.Chrome, served: Server, model: str, bundle: Path, key: str
) -> None:
    look(browser, f"{served.url}/#{model}", 390)
    ask(browser, model, {"text": TEXT})
    expected = predicted(bundle, TEXT)[key]
    assert any(span["start"] > TEXT.index("\U0001d4b3") for span in expected)
    shown = browser.execute_script(
        "return [...document.querySelectorAll('mark')].map("
        "m => [m.querySelector('.span').textContent, m.querySelector('small').textContent])"
    )
    assert shown == [[TEXT[span["start"] : span["end"]], span["label"]] for span in expected]
    whole = browser.execute_script(
        "const p = document.querySelector('.marked').cloneNode(true);"
        "p.querySelectorAll('small').forEach(s => s.remove()); return p.textContent"
    )
    assert whole == TEXT
    for span in expected:
        assert f"{span['label']}: {span['text']}" in said(browser)


def test_an_answer_is_marked_in_its_context(browser: webdriver.Chrome, served: Server) -> None:
    look(browser, f"{served.url}/#question-answering")
    fields = CASES["question-answering"]
    ask(browser, "question-answering", fields)
    found = served.client.post("/predict/question-answering", json=fields).json()["answer"]
    assert said(browser).startswith(found["text"])
    (mark,) = browser.find_elements(By.TAG_NAME, "mark")
    assert mark.get_attribute("textContent") == found["text"]
    before = browser.execute_script("return document.querySelector('mark').previousSibling.data")
    assert before == fields["context"][: found["start"]]


def test_cosines_are_those_of_the_vectors(browser: webdriver.Chrome, served: Server) -> None:
    look(browser, f"{served.url}/#feature-extraction")
    texts = ["the lights are on", "music"]
    ask(browser, "feature-extraction", {"text": "\n".join(texts)})
    found = served.client.post("/predict/feature-extraction", json=texts).json()
    one, other = (each["values"] for each in found)
    cosine = sum(a * b for a, b in zip(one, other, strict=True))  # they are of length 1
    assert abs(float(said(browser).removeprefix("Cosine ")) - cosine) < 0.0011


def test_the_keyboard_alone_suffices(browser: webdriver.Chrome, served: Server) -> None:
    look(browser, f"{served.url}/")
    wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, "#model option"))
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    model = browser.switch_to.active_element
    assert model.get_attribute("id") == "model"
    model.send_keys("tags")
    assert browser.current_url.endswith("/#tags")
    model.send_keys(Keys.TAB)
    text = browser.switch_to.active_element
    assert text.get_attribute("id") == "field-text"
    text.send_keys("turn the lights off", Keys.CONTROL, Keys.ENTER)
    first = wait_for(lambda: said(browser))
    text.send_keys(Keys.TAB)
    button = browser.switch_to.active_element
    assert button.get_attribute("id") == "ask"
    browser.execute_script("document.getElementById('said').textContent = ''")
    button.send_keys(Keys.ENTER)
    assert wait_for(lambda: said(browser)) == first
    assert browser.switch_to.active_element == button
    button.send_keys(Keys.TAB)
    summary = browser.switch_to.active_element
    summary.send_keys(Keys.ENTER)
    assert browser.find_element(By.ID, "raw").get_attribute("open")
    for expected in ("curl", "json"):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        assert browser.switch_to.active_element.get_attribute("id") == expected


def test_every_field_has_a_name_and_what_changes_is_announced(
    browser: webdriver.Chrome, served: Server
) -> None:
    look(browser, f"{served.url}/#question-answering")
    wait_for(lambda: browser.find_elements(By.ID, "field-context"))
    for field in browser.find_elements(By.CSS_SELECTOR, "input, select, textarea"):
        if field.is_displayed():
            assert field.accessible_name
    roles = {"connection": "alert", "error": "alert", "said": "status"}
    for element, role in roles.items():
        assert browser.find_element(By.ID, element).get_attribute("role") == role
    assert not browser.find_elements(By.CSS_SELECTOR, "#now-heading ~ * [aria-live]")


def test_an_error_of_the_server_is_one_line(browser: webdriver.Chrome, served: Server) -> None:
    look(browser, f"{served.url}/#fill-mask")
    ask(browser, "fill-mask", {"text": "no mask here"})
    asked = served.client.post("/predict/fill-mask", json={"text": "no mask here"})
    assert said(browser, "error") == f"{asked.json()['error']} (400)"
    assert "\n" not in said(browser, "error") and said(browser) == ""
    assert "[MASK]" in said(browser, "hint")


def test_the_figures_are_read_only_while_the_page_is_seen(
    browser: webdriver.Chrome, served: Server
) -> None:
    look(browser, f"{served.url}/#tags")
    count = "return performance.getEntriesByType('resource').filter(" \
            "e => e.name.endsWith('/status')).length"  # fmt: skip
    wait_for(lambda: browser.execute_script(count) >= 2)
    for _ in range(3):
        served.client.post("/predict/tags", json="turn the lights off")
    wait_for(lambda: float(said(browser, "rate")) > 0 and float(said(browser, "median")) > 0)
    hide = (
        "Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    browser.execute_script(hide, True)
    time.sleep(0.3)  # for one that was under way
    seen = browser.execute_script(count)
    time.sleep(1.5)
    assert browser.execute_script(count) == seen
    browser.execute_script(hide, False)
    wait_for(lambda: browser.execute_script(count) > seen)


def test_a_key_is_asked_for_and_kept_in_memory_alone(
    browser: webdriver.Chrome, start: Start, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef\n")
    server = start(f"texts={TEXTS}", "--api-key-file", keys)
    assert httpx.get(f"{server.url}/").status_code == 200
    for path in ("/status", "/models", "/x"):
        assert httpx.get(f"{server.url}{path}").status_code == 401
    look(browser, f"{server.url}/")
    wait_for(lambda: "asks for an API key" in said(browser, "connection"))
    assert browser.switch_to.active_element.get_attribute("id") == "key"
    assert not browser.find_element(By.ID, "main").is_displayed()
    browser.switch_to.active_element.send_keys("wrong", Keys.ENTER)
    wait_for(lambda: "does not accept this API key (401)" in said(browser, "connection"))
    field = browser.switch_to.active_element
    assert (field.get_attribute("id"), field.get_attribute("value")) == ("key", "")
    field.send_keys("0123456789abcdef", Keys.ENTER)
    wait_for(lambda: said(browser, "connection") == "")
    ask(browser, "texts", {"text": "lights off"})
    assert said(browser).startswith(predicted(TEXTS, "lights off")["label"])
    browser.execute_script("document.getElementById('raw').open = true")
    assert "0123456789abcdef" not in browser.page_source
    kept = "return [localStorage.length, sessionStorage.length, document.cookie]"
    assert browser.execute_script(kept) == [0, 0, ""]
    browser.refresh()
    wait_for(lambda: "asks for an API key" in said(browser, "connection"))


def test_a_dead_server_says_so_and_one_that_comes_back_is_found(
    browser: webdriver.Chrome, start: Start
) -> None:
    server = start(f"texts={TEXTS}")
    look(browser, f"{server.url}/")
    ask(browser, "texts", {"text": "lights off"})
    before = said(browser)
    assert server.stop() == 0
    wait_for(lambda: "does not answer" in said(browser, "connection"))
    assert "stale" in str(browser.find_element(By.ID, "now").get_attribute("class"))
    browser.find_element(By.ID, "ask").click()
    wait_for(lambda: "does not answer" in said(browser, "error"))
    assert said(browser) == ""
    start(f"texts={TEXTS}", port=server.address[1])
    wait_for(lambda: said(browser, "connection") == "")
    ask(browser, "texts", {"text": "lights off"})
    assert said(browser) == before


def test_a_model_that_is_replaced_is_shown_anew(
    browser: webdriver.Chrome, start: Start, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(TEXTS, bundle)
    server = start(f"mine={bundle}")
    look(browser, f"{server.url}/")
    wait_for(lambda: "text-classification" in said(browser, "about"))
    shutil.rmtree(bundle)
    shutil.copytree(INTENTS, bundle)
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "intent-slots" in said(browser, "about"))
    ask(browser, "mine", {"text": TEXT})
    assert said(browser).startswith(predicted(INTENTS, TEXT)["intent"])
    assert browser.get_log("browser") == []
