"""Progress on stderr: a bar on a terminal that can redraw a line, plain lines elsewhere."""

import os
import sys
import time
from typing import Protocol

from bertedge.cli.bar import Work, describe, lay_out
from bertedge.cli.console import drawn, one_line, say

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_DRAWINGS = 0.1


def end_line(*, typed: bool = False) -> None:
    """Leave a bar that an error has interrupted, so that the message gets a line of its own.

    Without a bar the terminal's "^C" stands there, where Ctrl-C was `typed`.
    """
    if typed and not drawn and sys.stderr.isatty():
        _write("\n")
    for each in tuple(drawn):
        each.interrupt()


class Terminal:
    """The `Progress` of the command line."""

    def __init__(self, *, bars: bool = True, keep: bool = False) -> None:
        """Show no bars where results go to the same terminal; `keep` leaves their last state."""
        self._bars, self._keep = bars, keep
        self.live = bars and can_redraw(sys.stderr)
        self._work: Work | None = None
        self._began = self._shown = 0.0

    def say(self, line: str) -> None:
        """Print one line, above the bar where there is one."""
        say(line)

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        """Begin a bar, ending the one before."""
        self.finish()
        self._began = self._shown = time.monotonic()
        self._work = Work(
            what=one_line(what), unit=unit, total=total, done=done, before=done, seconds=0.0
        )
        if self.live:
            drawn.append(self)
            self.draw()

    def advance(self, by: int, note: str = "") -> None:
        """Move on; elsewhere than on a terminal a line appears every ten seconds."""
        if self._work is None:
            return
        done, note = self._work.done + by, one_line(note) or self._work.note
        self._work = self._at(self._work, done, note)
        wait = SECONDS_BETWEEN_DRAWINGS if self.live else SECONDS_BETWEEN_LINES
        if time.monotonic() - self._shown >= wait:
            self._shown = time.monotonic()
            if self.live:
                self.draw()
            elif self._bars:
                say(describe(self._work))

    def finish(self) -> None:
        """End the bar, which leaves the screen; in a log its last state stays."""
        if self._work is None:
            return
        last = describe(self._at(self._work, self._work.done, self._work.note))
        self._work = None
        if self in drawn:
            drawn.remove(self)
            self.erase()
            if self._keep:
                say(last)
        elif self._bars:
            say(last)

    def interrupt(self) -> None:
        """Leave the bar where it stands, for something else to be printed below it."""
        if self in drawn:
            self.draw()
            _write("\n")
            drawn.remove(self)
            self._work = None

    def _at(self, work: Work, done: int, note: str) -> Work:
        return Work(
            what=work.what,
            unit=work.unit,
            total=work.total,
            done=done,
            before=work.before,
            seconds=time.monotonic() - self._began,
            note=note,
        )

    def erase(self) -> None:
        """Take the bar from the screen."""
        _write("\r\x1b[J")

    def draw(self) -> None:
        """Draw the line and go back to its beginning.

        There the cursor is at the right place still after the terminal became narrower and has
        broken the line in two; and no keystroke's echo ends it.
        """
        assert self._work is not None
        # A character in the last column makes some terminals begin a new line.
        _write(f"\r{lay_out(self._work, _columns() - 1)}\x1b[J\r")


class _Stream(Protocol):
    def isatty(self) -> bool: ...


def can_redraw(stream: _Stream | None) -> bool:
    """Return whether a stream is a terminal that understands more than text."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
