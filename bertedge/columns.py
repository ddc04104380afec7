"""How a labelled file is read: which columns, which separator, what of bad rows.

Apart from the readers, because a bundle remembers the columns of its training, and opening one
should not take the time to import them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class BadRows(StrEnum):
    """What is done with a row that cannot be read."""

    ERROR = "error"
    """It is an error that names the rows."""
    SKIP = "skip"
    """Such rows are left out and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Where texts and labels stand in a file; None means: guess."""

    text: str | None = None
    """Header name or JSON key; a number from 0 where there is no header, and in CoNLL files."""
    pair: str | None = None
    """The second text of a pair."""
    label: str | None = None
    """The label, or the tags of the words."""
    intent: str | None = None
    """The intent of a text whose words have tags too."""
    separator: str | None = None
    """Between columns; the words tab, space, comma, semicolon and pipe are taken too."""
    header: bool | None = None
    """Whether the first row of a CSV or TSV file names the columns."""
    format: str | None = None
    """csv, tsv, excel, jsonl, conll or squad, where the file's extension does not say it."""
    label_separator: str | None = None
    """Between the labels of one cell, where a text may have several."""
    encoding: str | None = None
    """Of a text file without a byte order mark; None is UTF-8."""
    sheet: str | None = None
    """Of an Excel workbook; None is the first."""
    bad_rows: BadRows = BadRows.ERROR
    """Whether a row that cannot be read is an error, or is left out and counted."""

    @property
    def named(self) -> dict[str, str]:
        """The names of text, pair, label and intent, those that there are."""
        names = {"text": self.text, "pair": self.pair, "label": self.label, "intent": self.intent}
        return {field: name for field, name in names.items() if name is not None}

    def with_names(self, names: Mapping[str, str]) -> "Columns":
        """Return these with other names, as `named` has them."""
        return replace(
            self,
            text=names.get("text"),
            pair=names.get("pair"),
            label=names.get("label"),
            intent=names.get("intent"),
        )
