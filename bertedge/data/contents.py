"""What the cells of a table without known column names show: which of two columns is the text."""

from collections.abc import Sequence

from bertedge.data.lines import Row

SAMPLE = 1000
"""Rows that are looked at."""


def text_column(rows: Sequence[Row]) -> int | None:
    """Return which of two columns holds the texts: the longer and more varied one.

    None where they do not differ so.
    """
    columns = [[row.cells[number] for row in rows] for number in (0, 1)]
    numbers = [_are_numbers(cells[1:]) for cells in columns]
    if numbers[0] != numbers[1]:
        return numbers.index(False)
    lengths = [sum(map(len, cells)) / len(cells) for cells in columns]
    varied = [len(set(cells)) for cells in columns]
    longer = int(lengths[1] > lengths[0])
    return longer if varied[longer] > varied[1 - longer] else None


def has_header(rows: Sequence[Row], label: int) -> bool | None:
    """Return whether the first row names the columns; None where that does not show.

    Its cell in the label's column is then none of the labels, which return again and again.
    """
    first, *rest = (row.cells[label].strip() for row in rows)
    if first in rest or not rest:
        return False if rest else None
    if _are_numbers(rest) and not _are_numbers([first]):
        return True
    return True if len(rest) >= 4 and len(set(rest)) <= len(rest) / 2 else None


def _are_numbers(cells: Sequence[str]) -> bool:
    try:
        return bool(cells) and all(float(cell.replace(",", ".")) is not None for cell in cells)
    except ValueError:
        return False
