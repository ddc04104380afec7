"""The command line on a pseudo-terminal, and the screen that a person would see."""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyte
import pytest

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 240.0
"""After which a program that is still running hangs."""
ROWS, COLUMNS = 24, 80
REMEMBERED = 2000
"""Lines that have left the screen at its top."""


class Screen:
    """A program on a terminal: what it shows, what it is sent."""

    def __init__(
        self,
        program: Sequence[str],
        *,
        columns: int = COLUMNS,
        rows: int = ROWS,
        env: dict[str, str | None] | None = None,
        cwd: Path | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
    ) -> None:
        """Start it; `stdin` and `stdout` are descriptors to use in place of the terminal."""
        self._emulator = pyte.HistoryScreen(columns, rows, history=REMEMBERED, ratio=0.001)
        self._stream = pyte.Stream(self._emulator)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.sent = b""
        """All that the program has written to the terminal."""
        self._ours, theirs = pty.openpty()
        self.resize(columns, rows)
        environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(REPOSITORY)}
        for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"):
            environment.pop(name, None)
        for name, value in (env or {}).items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        self.process = subprocess.Popen(
            list(program),
            stdin=theirs if stdin is None else stdin,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            cwd=cwd or REPOSITORY,
            env=environment,
            start_new_session=True,
            # The terminal must be the session's own for Ctrl-C and for SIGWINCH.
            preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        os.close(theirs)

    @property
    def lines(self) -> list[str]:
        """All lines that are not empty, those that have left at the top included."""
        gone = [
            "".join(line[x].data for x in range(self._emulator.columns))
            for line in self._emulator.history.top
        ]
        lines = [line.rstrip() for line in (*gone, *self._emulator.display)]
        return [line for line in lines if line]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def joined(self) -> str:
        """The text without its spaces, for what may be broken over lines anywhere."""
        return "".join("".join(self.lines).split())

    def colour_of(self, text: str) -> str:
        """Give the colour of the first character of a text on the screen."""
        for y, line in enumerate(self._emulator.display):
            if text in line:
                return str(self._emulator.buffer[y][line.index(text)].fg)
        raise AssertionError(f"{text!r} is not on the screen:\n{self.text}")

    def wait_for(self, pattern: str) -> None:
        """Read until a line on the screen has a pattern."""
        end = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.text, re.MULTILINE):
            assert time.monotonic() < end, f"no {pattern} in {PATIENCE_S} s:\n{self.text}"
            assert self._read(), f"it ended without {pattern}:\n{self.text}"

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Read to the end; give the exit code."""
        end = time.monotonic() + patience_s
        while self._read():
            assert time.monotonic() < end, f"not done in {patience_s} s:\n{self.text}"
        code = self.process.wait(timeout=PATIENCE_S)
        self.close()
        return code

    def type(self, keys: str) -> None:
        """Send keystrokes; the terminal makes a signal of "\\x03"."""
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, rows: int = ROWS) -> None:
        """Give the window another size."""
        self._emulator.resize(rows, columns)
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self._ours)

    def _read(self) -> bool:
        """Feed what comes within a moment; False when the program's side is closed."""
        ready, _, _ = select.select([self._ours], [], [], 0.2)
        if not ready:
            return True
        try:
            sent = os.read(self._ours, 65536)
        except OSError:  # Linux's way to tell that nobody has the other side any more
            sent = b""
        self.sent += sent
        self._stream.feed(self._decoder.decode(sent))
        return bool(sent)


class OnTerminal(Protocol):
    """Start `bertedge ARGUMENTS` on a terminal; see `Screen` for the rest."""

    def __call__(
        self,
        *arguments: object,
        columns: int = COLUMNS,
        rows: int = ROWS,
        env: dict[str, str | None] | None = None,
        cwd: Path | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
    ) -> Screen: ...


@pytest.fixture
def start_on_terminal() -> Iterator[Callable[..., Screen]]:
    """Start a program on a terminal; it is ended with the test."""
    started: list[Screen] = []

    def start(*program: object, **settings: object) -> Screen:
        screen = Screen([str(part) for part in program], **settings)  # type: ignore[arg-type]
        started.append(screen)
        return screen

    yield start
    for screen in started:
        screen.close()


@pytest.fixture
def on_terminal(start_on_terminal: Callable[..., Screen]) -> OnTerminal:
    """Start `bertedge` on a terminal."""

    def start(*arguments: object, **settings: object) -> Screen:
        return start_on_terminal(sys.executable, "-m", "bertedge", *arguments, **settings)

    return start


@pytest.fixture
def run_on_terminal(on_terminal: OnTerminal) -> Callable[..., Screen]:
    """Run `bertedge` on a terminal to its end, expect an exit code, give the screen."""

    def run(*arguments: object, code: int = 0, **settings: object) -> Screen:
        screen = on_terminal(*arguments, **settings)  # type: ignore[arg-type]
        ended = screen.wait()
        typed = shlex.join(map(str, arguments))
        assert ended == code, f"bertedge {typed} ended with {ended}:\n{screen.text}"
        return screen

    return run
