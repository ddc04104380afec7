"""Progress on stderr: a bar with rate and remaining time on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any

import click

SECONDS_BETWEEN_LINES = 10.0


_drawn: "list[Terminal]" = []
"""The one whose bar stands on the current line, if any."""


def end_line() -> None:
    """Leave a bar that an error has interrupted, so that the message gets a line of its own."""
    for terminal in tuple(_drawn):
        terminal.finish()


class Terminal:
    """The `Progress` of the command line."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._bar: Any = None
        self._what, self._unit = "", ""
        self._total: int | None = None
        self._done, self._note = 0, ""
        self._began = self._last_line = 0.0

    def say(self, line: str) -> None:
        """Print one line, above the bar where there is one."""
        if self._live and self._bar is not None:
            click.echo("\r\x1b[2K", err=True, nl=False)
        click.echo(line, err=True)

    def start(self, what: str, total: int | None, unit: str) -> None:
        """Begin a bar, ending the one before."""
        self.finish()
        self._what, self._total, self._unit = what, total, unit
        self._done, self._note = 0, ""
        self._began = self._last_line = time.monotonic()
        if self._live:
            self._bar = click.progressbar(
                length=total,
                label=what,
                file=sys.stderr,
                show_pos=True,
                item_show_func=lambda _: self._beside(),
                width=24,
            )
            self._bar.__enter__()
            _drawn.append(self)

    def advance(self, by: int, note: str = "") -> None:
        """Move on; elsewhere than on a terminal a line appears every ten seconds."""
        self._done += by
        self._note = note or self._note
        if self._bar is not None:
            self._bar.update(by, self._note)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            click.echo(self._line(), err=True)

    def finish(self) -> None:
        """End the bar; its last state stays on the screen."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
            _drawn.remove(self)
        elif self._what:
            click.echo(self._line(), err=True)
        self._what = ""

    def _rate(self) -> float:
        return self._done / max(time.monotonic() - self._began, 1e-9)

    def _beside(self) -> str:
        rate = self._rate()
        digits = ",.0f" if rate >= 100 else ".3g"
        shown = f"{rate:{digits}} {self._unit}/s"
        return f"{shown}  {self._note}" if self._note else shown

    def _line(self) -> str:
        seconds = time.monotonic() - self._began
        if self._total is None:
            return f"{self._what}: {self._done:,} {self._unit}  {self._beside()}  {seconds:.0f} s"
        left = (self._total - self._done) / max(self._rate(), 1e-9)
        remaining = f"{seconds:.0f} s, {left:.0f} s left" if left >= 0.5 else f"{seconds:.0f} s"
        return f"{self._what}: {self._done:,}/{self._total:,} {self._beside()}  {remaining}"
