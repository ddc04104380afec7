"""Requests to stop, where a verb has nothing to say of them any more."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

TINY = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
PROGRAM = """
import atexit, os, sys, time
def disturb():
    os.kill(os.getpid(), int(sys.argv[1]))
    time.sleep(0.01)
atexit.register(disturb)
from bertedge.cli import main
main(["inspect", sys.argv[2]])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_work_changes_nothing(number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(int(number)), str(TINY)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
