"""What the progress of a program leaves on the screen, and what it shows meanwhile."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

START = (
    "from bertedge.cli.console import say\nfrom bertedge.cli.progress import Terminal, end_line\n"
)
WORK = START + "bar = Terminal()\nbar.start('working', 10, 'steps')\nbar.advance(4)\n"
WAIT = "input()\n"

Start = Callable[..., Any]


@pytest.fixture
def program(start_on_terminal: Start) -> Start:
    def start(text: str, **settings: Any) -> Any:
        return start_on_terminal(sys.executable, "-c", text, **settings)

    return start


def test_a_finished_bar_leaves_the_screen(program: Start):
    screen = program(WORK + "bar.advance(6)\nbar.finish()\nprint('done')\n")
    assert screen.wait() == 0 and screen.lines == ["done"]


def test_what_is_said_meanwhile_stands_above_the_bar(program: Start):
    screen = program(
        WORK + "import time\ntime.sleep(0.2)\nbar.say('short')\nsay('from elsewhere')\n"
        "bar.advance(1)\n" + WAIT
    )
    screen.wait_for("^working  .*5/10")
    short, elsewhere, bar = screen.lines
    assert (short, elsewhere) == ("short", "from elsewhere")
    assert bar.startswith("working  [") and bar.endswith("left")
    screen.type("\n")
    assert screen.wait() == 0


def test_an_interrupted_bar_stays_once_and_the_next_line_is_its_own(program: Start):
    screen = program(WORK + "end_line()\nsay('Error: no')\nend_line()\n")
    assert screen.wait() == 0
    bar, error = screen.lines
    assert bar.startswith("working  [") and error == "Error: no"


def test_keystrokes_do_not_stay_in_the_bar(program: Start):
    screen = program(WORK + WAIT + "bar.advance(5)\nbar.draw()\n" + WAIT)
    screen.wait_for("^working")
    screen.type("what is this?")
    screen.wait_for("what is this")
    screen.type("\n")
    screen.wait_for("9/10")
    assert [line for line in screen.lines if "9/10" in line and "what" in line] == []
    screen.type("\n")
    assert screen.wait() == 0


@pytest.mark.parametrize("columns", [1, 2, 10, 40, 200])
def test_the_bar_takes_one_line_of_any_terminal(program: Start, columns: int):
    draw = "for i in range(50):\n    bar.advance(0, '日本' * i)\n    bar.draw()\n"
    screen = program(WORK + draw + "end_line()\n", columns=columns)
    assert screen.wait() == 0
    assert len(screen.lines) == (1 if columns > 1 else 0)


def test_a_bar_of_no_total_counts(program: Start):
    text = START + "bar = Terminal(keep=True)\nbar.start('reading', None, 'lines')\n"
    screen = program(text + "import time\ntime.sleep(0.2)\nbar.advance(50)\nbar.finish()\n")
    assert screen.wait() == 0
    assert b"reading  0 lines  0:00" in screen.sent and b"50 lines  " in screen.sent
    (kept,) = screen.lines
    assert kept.startswith("reading: 50 lines  ") and kept.endswith(" s")


def test_elsewhere_lines_stand_for_themselves(program: Start):
    screen = program(WORK + "bar.advance(6)\nbar.finish()\n", env={"TERM": "dumb"})
    assert screen.wait() == 0
    (line,) = screen.lines
    assert line.startswith("working: 10/10  ") and b"\x1b" not in screen.sent
