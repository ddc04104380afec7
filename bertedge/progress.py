"""How long work tells its caller where it stands; the library itself never prints."""

from typing import Protocol


class Progress(Protocol):
    """Where a stage reports to: `say` for a fact, `start` … `advance` … `finish` for a bar."""

    def say(self, line: str) -> None:
        """Take one finished line of information."""

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        """Begin a bar of `total` units (None: not known), `done` of them by an earlier run."""

    def advance(self, by: int, note: str = "") -> None:
        """Move the bar on by `by` units; `note` is what to show beside it (a loss, say)."""

    def finish(self) -> None:
        """End the bar."""


class Silent:
    """Shows nothing."""

    def say(self, line: str) -> None:
        """Drop the line."""

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        """Drop the bar."""

    def advance(self, by: int, note: str = "") -> None:
        """Drop the step."""

    def finish(self) -> None:
        """Drop the end."""


SILENT = Silent()
"""The default of what takes a Progress."""
