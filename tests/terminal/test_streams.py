"""Standard streams that are closed, full, or of a narrow encoding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TINY = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
INTENTS = Path(__file__).parents[2] / "models" / "home-intents" / "data" / "test.jsonl"

PRINTING = {
    "help": ("--help",),
    "version": ("--version",),
    "help of a verb": ("export", "--help"),
    "all of it": ("bench", "--help-all"),
    "inspect": ("inspect", str(TINY)),
    "json": ("inspect", str(TINY), "--json"),
    "doctor": ("doctor",),
    "predict": ("predict", str(TINY), "on"),
    "predict many": ("predict", str(TINY), "--input", str(INTENTS), "--text-column", "text"),
}


def run(redirected: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run `bertedge` with the shell's redirections."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-m", "bertedge", *arguments],
        capture_output=True,
        env={**os.environ, **environment},
        timeout=120,
    )


@pytest.mark.parametrize("name", PRINTING)
@pytest.mark.parametrize("redirected", [">&-", ">/dev/full", "<&- >&-"])
def test_results_that_cannot_be_written_are_one_line(name: str, redirected: str):
    if "full" in redirected and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    found = run(redirected, *PRINTING[name])
    *lines, last = found.stderr.decode().splitlines()
    assert found.returncode == 1
    assert last.startswith("Error: standard output could not be written: ")
    assert ("no space left" in last) == ("full" in redirected)
    assert all(line.startswith(("text from", "predicting")) for line in lines), lines


@pytest.mark.parametrize("name", ["inspect", "predict"])
@pytest.mark.parametrize("redirected", ["<&-", "2>&-", "<&- 2>&-"])
def test_streams_that_are_not_needed_may_be_closed(name: str, redirected: str):
    found = run(redirected, *PRINTING[name])
    assert found.returncode == 0 and found.stdout == run("", *PRINTING[name]).stdout


def test_an_error_without_a_standard_error_is_the_exit_code():
    assert run("2>&-", "inspect", "nowhere").returncode == 1
    assert run("<&- >&- 2>&-", "inspect", "nowhere").returncode == 1


def test_results_in_a_file_need_no_standard_output(tmp_path: Path):
    output = tmp_path / "labels.jsonl"
    found = run("<&- >&-", "predict", str(TINY), "on", "--output", str(output))
    assert found.returncode == 0, found.stderr
    assert json.loads(output.read_text())["text"] == "on"


def test_standard_input_that_is_closed_is_no_empty_one():
    found = run("<&-", "predict", str(TINY), "--input", "-")
    assert found.returncode == 1 and found.stdout == b""
    assert (
        found.stderr.decode()
        .splitlines()[-1]
        .startswith("Error: standard input could not be read: it is closed")
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "ascii:strict"])
def test_an_encoding_that_lacks_characters_costs_them_alone(encoding: str, tmp_path: Path):
    for name in ("help", "help of a verb", "inspect", "doctor", "json"):
        found = run("", *PRINTING[name], PYTHONIOENCODING=encoding)
        assert found.returncode == 0, found.stderr
        assert found.stdout.decode(encoding.partition(":")[0])
    text = "kälter → 日本 🙂"
    found = run("", "predict", str(TINY), text, PYTHONIOENCODING=encoding)
    assert json.loads(found.stdout)["text"] == text
    rows = [json.dumps({"text": text, "label": "日本"}, ensure_ascii=False)]
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = run("", "evaluate", str(TINY), "--data", str(data), PYTHONIOENCODING=encoding)
    assert found.returncode == 1 and b"Traceback" not in found.stderr
    # click takes ASCII for a locale that was forgotten, and writes UTF-8.
    assert rb"\u65e5\u672c" in found.stderr or "日本" in found.stderr.decode("utf-8")


def test_json_is_json_in_every_encoding(tmp_path: Path):
    data = tmp_path / "träin.csv"
    data.write_text("text,label\non,lights\noff,music\n", encoding="utf-8")
    arguments = ("evaluate", str(TINY), "--data", str(data), "--json")
    for encoding in ("ascii", "utf-8"):
        found = run("", *arguments, PYTHONIOENCODING=encoding)
        assert json.loads(found.stdout)["rows"] == 2
