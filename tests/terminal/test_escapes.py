"""What labels, texts, columns and file names hold is shown, and never obeyed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertedge.bundle import open_bundle, write_bundle
from bertedge.cli.console import clean, clean_json, one_line, shorten

TINY = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
TITLE = "\x1b]0;owned\x07"
BLINKING, ERASING, TURNED, NEW_LINE = "\x1b[5m", "\x9b2J", "\u202e", "\u2028"
OBEYED = TITLE + BLINKING + ERASING + TURNED + NEW_LINE + "\x7f\x08"

Run = Callable[..., Any]


def check(sent: bytes) -> None:
    """None of it is sent; our own colours are."""
    for text in (TITLE, BLINKING, ERASING, TURNED, NEW_LINE, "\x7f", "\x08", "\x07", "\x9b"):
        assert text.encode() not in sent, (text, sent)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    manifest = open_bundle(TINY).manifest
    labels = (f"a{TITLE}", f"b{ERASING}", f"c{TURNED}", f"d{NEW_LINE}{BLINKING}\x7f")
    files = [TINY / name for name in ("tokenizer.json", "cpu-fp32.onnx")]
    write_bundle(
        tmp_path / "bundle",
        replace(manifest, model=replace(manifest.model, labels=labels)),
        files,
        overwrite=False,
    )
    return tmp_path / "bundle"


def test_labels_of_a_bundle(run_on_terminal: Run, bundle: Path, tmp_path: Path):
    labels = open_bundle(bundle).manifest.model.labels
    screen = run_on_terminal("inspect", bundle, columns=200)
    check(screen.sent)
    assert r"a\x1b]0;owned\x07, b\x9b2J, c\u202e, d\u2028\x1b[5m\x7f" in screen.text
    screen = run_on_terminal("inspect", bundle, "--json")
    check(screen.sent)
    screen = run_on_terminal("predict", bundle, f"on {OBEYED}", columns=1000)
    check(screen.sent)
    row = json.loads(screen.lines[0])
    assert row["text"] == f"on {OBEYED}" and set(row["scores"]) == set(labels)
    data = tmp_path / "data.jsonl"
    rows = [{"text": f"turn {OBEYED}", "label": label} for label in labels * 2]
    data.write_text("\n".join(map(json.dumps, rows)) + "\n")
    screen = run_on_terminal("evaluate", bundle, "--data", data, columns=200)
    check(screen.sent)
    assert r"c\u202e" in screen.text


def test_what_a_data_file_holds(run_on_terminal: Run, tmp_path: Path):
    data = tmp_path / f"data{BLINKING}{TURNED}.jsonl"
    data.write_text(json.dumps({"text": "on", "label": f"x{OBEYED}"}) + "\n")
    screen = run_on_terminal("evaluate", TINY, "--data", data, code=1)
    check(screen.sent)
    data.write_text(json.dumps({f"te{OBEYED}": "on", f"la{OBEYED}": "x"}) + "\n")
    screen = run_on_terminal("evaluate", TINY, "--data", data, code=1)
    check(screen.sent)
    screen = run_on_terminal("predict", TINY, "--input", data, code=1)
    check(screen.sent)


def test_arguments(run_on_terminal: Run):
    for arguments in (
        (f"exp{OBEYED}",),
        (f"--ver{OBEYED}",),
        ("inspect", f"no{OBEYED}"),
        ("predict", TINY, f"--{OBEYED}"),
        ("predict", TINY, "on", "--threads", f"2{OBEYED}"),
        ("finetune", "--config", f"no{OBEYED}.toml"),
    ):
        screen = run_on_terminal(*arguments, code=1 if "no" in str(arguments[-1]) else 2)
        check(screen.sent)
        assert "Error: " in screen.text


@pytest.mark.parametrize("character", [chr(code) for code in (*range(32), *range(127, 160))])
def test_every_control_character_is_spelled_out(character: str):
    shown = clean(f"a{character}b")
    assert shown == f"a{character}b" if character in "\n\t" else character not in shown
    assert character not in one_line(f"a{character}b")
    assert json.loads(clean_json(json.dumps(f"a{character}b", ensure_ascii=False))) == (
        f"a{character}b"
    )


def test_what_people_write_stays_as_it_is():
    for text in ("Kälter, bitte!", "日本語", "שלום", "مرحبا\u200f", "👩‍🚀", "e\u0301", "tab\there"):
        assert clean(text) == text


def test_half_a_character_is_spelled_out():
    assert clean("\ud83d") == r"\ud83d"
    assert clean_json('"\ud83d"') == r'"\ud83d"'


def test_a_message_is_of_bounded_length_and_keeps_its_end(run_on_terminal: Run):
    assert shorten("a" * 300, 300) == "a" * 300
    cut = shorten("a" * 1000 + " do this", 300)
    assert len(cut) == 300 and cut.endswith(" do this")
    found = subprocess.run(
        [sys.executable, "-m", "bertedge", "inspect", "x" * 5000 + "\n" * 100 + "y"],
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert found.returncode == 1 and found.stdout == ""
    (line,) = found.stderr.splitlines()
    assert len(line) <= 300 and line.startswith("Error: ")
