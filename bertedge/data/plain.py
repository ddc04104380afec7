"""Plain text: every line that is not blank is an example of its own words."""

from dataclasses import replace

from bertedge.data import label_text
from bertedge.data.example import Columns, Reading, TextExample
from bertedge.data.report import RowReport
from bertedge.errors import SettingError

FORMAT = "text"
records = label_text.records


def resolve(reading: Reading) -> Columns:
    """Settle that there are no columns; SettingError where some are asked for."""
    told = reading.columns
    settled = Columns(format=FORMAT, encoding=told.encoding, bad_rows=told.bad_rows)
    if replace(told, format=FORMAT) != settled:
        raise SettingError(
            f"{reading.path} is read as plain text, which has no columns; leave them out"
        )
    return settled


def example(reading: Reading, record: tuple[int, str], report: RowReport) -> TextExample:
    """Take a line as it is."""
    return TextExample(text=record[1], pair=None, line=record[0])
