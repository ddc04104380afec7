"""What parts the columns of a table: as told, as Excel says, or as its first rows show."""

import codecs
import csv
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.data.example import Columns, Reading
from bertedge.data.lines import LONGEST_HEAD, LONGEST_LINE, read_lines, take_head
from bertedge.data.report import RowReport
from bertedge.errors import SettingError

if TYPE_CHECKING:
    from _csv import Reader

NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "pipe"}
USUAL = {"csv": ",", "tsv": "\t"}
_HEAD = 200
"""Lines that are looked at."""
_EXCEL = re.compile(r'"?sep=(.)"?\r?\n?$')


def name_of(separator: str) -> str:
    """Return a separator as a message names it."""
    return NAMES.get(separator, repr(separator))


def stated(line: str) -> str | None:
    """Return the separator that a first line such as "sep=;", which Excel writes, states."""
    match = _EXCEL.match(line)
    return match[1] if match else None


def settle(reading: Reading) -> Columns:
    """Fill in the separator of a CSV or TSV file, and whether its cells are quoted.

    That of the training and the usual one of the format come first. One that does not cut the
    first rows into equally many columns, two or more, gives way to one that does.
    """
    columns, trained = reading.columns, reading.trained
    separator, name = columns.separator, str(columns.format)
    if separator is not None:
        if name == "csv" and (len(separator) != 1 or separator == '"'):
            raise SettingError(
                f"--separator {separator!r} cannot separate CSV columns; give one character"
            )
        return columns
    text = read_lines(reading.path, columns.encoding, RowReport(policy=columns.bad_rows))
    lines = take_head((line for _, line in text), _HEAD, len)
    if lines and (told := stated(lines[0])):
        return replace(columns, format="csv", separator=told)
    usual = replace(columns, separator=USUAL[name])
    choices = [usual]
    if trained.format in USUAL and trained.separator is not None:
        before = replace(columns, format=trained.format, separator=trained.separator)
        choices.insert(0 if trained.format == name else 1, before)
    if name == "tsv" and _is_unicode_text(reading.path):
        choices.insert(0, replace(usual, format="csv"))
    choices += [replace(columns, format="csv", separator=other) for other in NAMES]
    whole = len(lines) < _HEAD and sum(map(len, lines)) <= LONGEST_HEAD
    return next((each for each in choices if _fits(lines, each, whole=whole)), usual)


def _is_unicode_text(path: Path) -> bool:
    """Return whether this is the "Unicode Text" of Excel, whose cells are quoted where needed."""
    with path.open("rb") as file:
        return file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_quoted(lines: Iterable[str], separator: str) -> "Reader":
    """Return the rows of CSV; a quote that is never closed does not end the file unnoticed."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    return csv.reader(lines, delimiter=separator, strict=True)


def _fits(lines: list[str], columns: Columns, *, whole: bool) -> bool:
    """Return whether the rows have equally many columns, two or more."""
    widths = set()
    separator = columns.separator or ""
    marks = 0
    try:
        for cells in _rows(lines, columns):
            if len(cells) > 1 or (cells and cells[0].strip()):
                widths.add(len(cells))
                # A space behind every one of them makes it punctuation of a text.
                marks += sum(not cell.startswith(" ") for cell in cells[1:])
    except csv.Error as error:
        if whole or "unexpected end" not in str(error):
            return False
    return len(widths) == 1 and widths != {1} and (marks > 0 or separator in "\t,")


def _rows(lines: list[str], columns: Columns) -> Iterable[list[str]]:
    separator = columns.separator or ","
    if columns.format == "csv":
        return read_quoted(lines, separator)
    return (line.rstrip("\r\n").split(separator) for line in lines)
