"""What a pass over a labelled file leaves out, and what it reads otherwise than it is written."""

from collections import Counter
from dataclasses import dataclass, field

from bertedge.columns import BadRows as BadRows  # noqa: PLC0414 (given on)
from bertedge.errors import DataError


@dataclass(slots=True, kw_only=True)
class RowReport:
    """Bad rows and other findings of one pass, counted."""

    policy: BadRows = BadRows.ERROR
    skipped: int = 0
    first: str = ""
    """The message of the first row that was left out."""
    notes: Counter[str] = field(default_factory=Counter)
    """How often something was found that is no error, in the words that say it."""

    def skip(self, error: DataError) -> None:
        """Count a bad row; raise its error where bad rows are errors."""
        if self.policy is BadRows.ERROR:
            raise error
        self.skipped += 1
        self.first = self.first or str(error)

    def note(self, what: str) -> None:
        """Count something that is read, but not as it is written, or that is no example."""
        self.notes[what] += 1

    def summary(self) -> str:
        """Give one line of what was found; empty where all was well."""
        parts = [f"{count:,} {what}" for what, count in self.notes.items()]
        if self.skipped:
            rows = "row" if self.skipped == 1 else "rows"
            parts.append(f"{self.skipped:,} bad {rows} left out, the first: {self.first}")
        return "; ".join(parts)
