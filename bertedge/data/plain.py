"""Plain text: every line that is not blank is an example of its own words."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bertedge.data.example import Columns, TextExample
from bertedge.data.lines import read_lines
from bertedge.data.report import RowReport
from bertedge.errors import SettingError

FORMAT = "text"


def resolve(path: Path, columns: Columns) -> Columns:
    """Settle that there are no columns; SettingError where some are asked for."""
    resolved = Columns(format=FORMAT, encoding=columns.encoding, bad_rows=columns.bad_rows)
    if replace(columns, format=FORMAT) != resolved:
        raise SettingError(f"{path} is read as plain text, which has no columns; leave them out")
    return resolved


def read(path: Path, columns: Columns, report: RowReport) -> Iterator[TextExample]:
    """Yield the examples."""
    for number, line in read_lines(path, columns.encoding, report):
        if text := line.strip():
            yield TextExample(text=text, pair=None, label=None, line=number)
