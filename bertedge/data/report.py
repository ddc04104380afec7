"""What a pass over a labelled file leaves out, and what it reads otherwise than it is written."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bertedge.columns import BadRows as BadRows  # noqa: PLC0414 (given on)
from bertedge.errors import DataError, FaultsError, shorten

LISTED = 20
"""Bad rows that are named, where there are several."""


@dataclass(slots=True, kw_only=True)
class RowReport:
    """Bad rows and other findings of one pass, counted."""

    policy: BadRows = BadRows.ERROR
    skipped: int = 0
    first: str = ""
    """The message of the first row that was left out."""
    notes: Counter[str] = field(default_factory=Counter)
    """How often something was found that is no error, in the words that say it."""

    collected: bool = False
    """Whether errors are kept, to be raised together at the end of the pass."""
    faults: list[str] = field(default_factory=list)
    """The messages of the first LISTED bad rows, where they are collected."""
    count: int = 0

    def skip(self, error: DataError) -> None:
        """Count a bad row; raise its error, or keep it, where bad rows are errors."""
        if self.policy is BadRows.ERROR:
            if not self.collected:
                raise error
            self.count += 1
            if len(self.faults) < LISTED:
                self.faults.append(str(error))
            return
        self.skipped += 1
        self.first = self.first or str(error)

    def check(self, path: Path) -> None:
        """Raise what was collected: a single error as it is, several as one that lists them."""
        if self.count == 1:
            raise DataError(self.faults[0])
        if self.count:
            shown = "" if self.count <= LISTED else f" (the first {LISTED} follow)"
            raise FaultsError(
                f"{path} has {self.count:,} bad rows{shown}; fix them, or leave them out with "
                "--bad-rows skip",
                tuple(self.faults),
            )

    def note(self, what: str) -> None:
        """Count something that is read, but not as it is written, or that is no example."""
        self.notes[what] += 1

    def summary(self) -> str:
        """Return one line of what was found; empty where all was well."""
        parts = [f"{count:,} {what}" for what, count in self.notes.items()]
        if self.skipped:
            rows = "row" if self.skipped == 1 else "rows"
            parts.append(
                f"{self.skipped:,} bad {rows} left out, the first: {shorten(self.first, 160)}"
            )
        return "; ".join(parts)
