"""Every verb on a terminal, its screen read as a person reads it."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TINY = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
LABELS = ("lights", "music", "heating", "other")
TERMINALS: dict[str, dict[str, Any]] = {
    "usual": {},
    "narrow": {"columns": 40},
    "dumb": {"env": {"TERM": "dumb"}},
    "no color": {"env": {"NO_COLOR": "1"}},
}
WORK = ("evaluating", "predicting", "training", "pretraining", "tokenizing")
"""What bars are named."""

Run = Callable[..., Any]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """More rows than are read at a time."""
    path = tmp_path / "data.csv"
    rows = [f"turn number {i} on,{LABELS[i % 4]}" for i in range(3000)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


@pytest.fixture(params=TERMINALS)
def terminal(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"name": request.param, **TERMINALS[request.param]}


def read(screen: Any, terminal: dict[str, Any]) -> str:
    """Check what holds of every screen; give its text."""
    text = screen.text
    assert "Traceback" not in text and "Warning" not in text, text
    assert not re.search(r"\[\d*[mJK]", text), f"escape sequences are shown:\n{text}"
    if terminal.get("name") == "dumb":
        assert b"\x1b" not in screen.sent and b"\r" not in screen.sent.replace(b"\r\n", b"")
    else:
        bars = [line for line in screen.lines if line.startswith(WORK) and "  " in line]
        assert not [line for line in bars if "%" in line or "[" in line], text
    if terminal.get("name") == "no color":
        assert not re.search(rb"\x1b\[[\d;]*m", screen.sent)
    return str(text)


def test_evaluate(run_on_terminal: Run, terminal: dict[str, Any], data: Path):
    settings = {key: terminal[key] for key in terminal if key != "name"}
    screen = run_on_terminal("evaluate", TINY, "--data", data, **settings)
    text = read(screen, terminal)
    assert "accuracy " in text and "macro average" in text and "rows/s" in text
    if terminal["name"] == "usual":
        assert "0/3,000 rows" in screen.sent.decode()
        assert screen.joined.endswith(f'next:bertedgepredict{TINY}"atext"')


def test_predict_of_a_file(run_on_terminal: Run, terminal: dict[str, Any], data: Path):
    settings = {key: terminal[key] for key in terminal if key != "name"}
    output = data.parent / "labels.jsonl"
    screen = run_on_terminal("predict", TINY, "--input", data, "--output", output, **settings)
    read(screen, terminal)
    assert len(output.read_text().splitlines()) == 3000
    (told,) = [line for line in screen.lines if line.startswith("predicting: ")]
    assert "3,000" in told and "texts" in told


def test_predict_to_the_terminal_itself_has_no_bar_between_the_lines(
    run_on_terminal: Run, terminal: dict[str, Any], data: Path
):
    settings = {key: terminal[key] for key in terminal if key != "name"}
    screen = run_on_terminal("predict", TINY, "--input", data, "--chunk", "100", **settings)
    assert "predicting" not in read(screen, terminal)
    assert screen.sent.count(b'"text"') == 3000


def test_predict_of_a_text_shows_just_the_result(run_on_terminal: Run):
    screen = run_on_terminal("predict", TINY, "turn the lights on", columns=400)
    (line,) = screen.lines
    assert json.loads(line)["text"] == "turn the lights on"


def test_predict_of_standard_input(run_on_terminal: Run, on_terminal: Run, tmp_path: Path):
    (tmp_path / "texts.txt").write_text("on\noff\n")
    with (tmp_path / "texts.txt").open() as texts:
        screen = run_on_terminal("predict", TINY, "--input", "-", stdin=texts.fileno(), columns=400)
    assert [json.loads(line)["text"] for line in screen.lines] == ["on", "off"]
    typed = on_terminal("predict", TINY, "--input", "-", "--chunk", "1", columns=400)
    typed.type("turn it on\n")
    typed.wait_for('"label"')
    typed.type("\x04")
    assert typed.wait() == 0
    echo, answer = typed.lines[:2]
    assert echo == "turn it on" and json.loads(answer)["text"] == "turn it on"


@pytest.mark.parametrize("verb", [("doctor",), ("inspect", TINY), ("--help",), ("bench", "-h")])
def test_what_only_prints(run_on_terminal: Run, terminal: dict[str, Any], verb: tuple[Any, ...]):
    settings = {key: terminal[key] for key in terminal if key != "name"}
    assert read(run_on_terminal(*verb, **settings), terminal)


def test_an_error_stands_alone_and_is_red(run_on_terminal: Run, tmp_path: Path):
    data = tmp_path / "data.csv"
    rows = ["text,label", *["on,lights"] * 3000, "on,nowhere"]
    data.write_text("\n".join(rows) + "\n")
    for settings in TERMINALS.values():
        screen = run_on_terminal("evaluate", TINY, "--data", data, code=1, **settings)
        at = [i for i, line in enumerate(screen.lines) if line.startswith("Error: ")]
        assert len(at) == 1, screen.text
        wanted = "default" if settings.get("env") else "red"
        assert screen.colour_of("Error:") == wanted
        assert "nowhere" in "".join(screen.lines[at[0] :])


def test_what_is_wrong_with_a_command_line_is_red_too(run_on_terminal: Run):
    screen = run_on_terminal("predict", TINY, code=2)
    assert screen.colour_of("Error:") == "red" and screen.colour_of("Usage:") == "default"
    screen = run_on_terminal("exprot", code=2)
    assert "did you mean 'export'?" in screen.text and screen.colour_of("Error:") == "red"


def test_results_in_a_pipe_are_the_same_bytes_as_ever(run_on_terminal: Run, data: Path):
    inner, outer = os.pipe()
    os.set_inheritable(outer, True)
    screen = run_on_terminal("inspect", TINY, stdout=outer)
    os.close(outer)
    with open(inner, "rb") as pipe:
        said = pipe.read()
    assert screen.lines == [] and said.startswith(str(TINY).encode()) and b"\x1b" not in said


def test_an_explanation_is_marked_text_on_a_terminal(run_on_terminal: Run):
    screen = run_on_terminal("predict", TINY, "--explain", "turn the hall lights off")
    assert re.search(rb"\x1b\[48;5;\d+m\w+\x1b\[0m", screen.sent)
    assert '{"text"' not in screen.text
    plain = run_on_terminal("predict", TINY, "--explain", "lights off", env={"NO_COLOR": "1"})
    assert not re.search(rb"\x1b\[[\d;]*m", plain.sent)
    assert re.search(r"lights\[[+-]0\.\d\d\]", plain.text)
