"""What a type checker knows of the public names, under mypy strict."""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXPECTED = re.compile(r"# error: ([\w-]+)$")


def errors(name: str) -> list[tuple[int, str]]:
    """Lines and codes of what mypy finds, each once."""
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(HERE / name)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    found = re.findall(rf"{name}:(\d+): error: .*\[([\w-]+)\]$", run.stdout, re.MULTILINE)
    assert run.stderr == "" and run.returncode == bool(found), run.stdout
    return sorted({(int(line), code) for line, code in found})


def test_the_task_says_what_is_predicted() -> None:
    assert errors("predictions.py") == []


def test_mistakes_are_found_where_they_are() -> None:
    lines = (HERE / "mistakes.py").read_text().splitlines()
    expected = [
        (number, match[1])
        for number, line in enumerate(lines, 1)
        if (match := EXPECTED.search(line))
    ]
    assert len(expected) == 5 and errors("mistakes.py") == expected
