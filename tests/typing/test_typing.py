"""What a type checker knows of the public names, under mypy strict."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXPECTED = re.compile(r"# error: ([\w-]+)$")


Errors = dict[str, list[tuple[int, str]]]


@pytest.fixture(scope="module")
def errors() -> Errors:
    """Lines and codes of what mypy finds, each once, of each file."""
    names = ("predictions.py", "mistakes.py")
    run = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
            *(str(HERE / name) for name in names),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    pattern = r"(\w+\.py):(\d+): error: .*\[([\w-]+)\]$"
    found = re.findall(pattern, run.stdout, re.MULTILINE)
    assert run.stderr == "" and run.returncode == bool(found), run.stdout
    return {
        name: sorted({(int(line), code) for file, line, code in found if file == name})
        for name in names
    }


def test_the_task_says_what_is_predicted(errors: Errors) -> None:
    assert errors["predictions.py"] == []


def test_mistakes_are_found_where_they_are(errors: Errors) -> None:
    lines = (HERE / "mistakes.py").read_text().splitlines()
    expected = [
        (number, match[1])
        for number, line in enumerate(lines, 1)
        if (match := EXPECTED.search(line))
    ]
    assert len(expected) == 5 and errors["mistakes.py"] == expected
