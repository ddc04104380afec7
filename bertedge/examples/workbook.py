"""The rows of an Excel workbook's sheet, by the `excel` extra."""

import datetime
from collections.abc import Iterator
from pathlib import Path

from bertedge.errors import DataError, MissingExtraError, first_line
from bertedge.examples.lines import Row

FORMAT = "excel"
EXTENSIONS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_MODULE = "python_calamine"
_REMEDY = "or save the table as CSV UTF-8 in Excel"
_Cell = str | float | int | bool | datetime.date | datetime.time | datetime.timedelta | None


def read_rows(path: Path, sheet: str | None) -> Iterator[Row]:
    """Yield the rows of the sheet (the first) that have any cell filled in, as Excel numbers them.

    Columns to the right that are empty in all rows are left out. Raises DataError for what is no
    workbook or has no such sheet, MissingExtraError where the reader is not installed.
    """
    rows = _read(path, sheet)
    width = max((_width(cells) for _, cells in rows), default=0)
    for number, cells in rows:
        if any(cell.strip() for cell in cells):
            yield Row(number, cells[:width])


def _read(path: Path, sheet: str | None) -> list[tuple[int, list[str]]]:
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise MissingExtraError("excel", _MODULE, _REMEDY) from None
    try:
        with path.open("rb") as file, CalamineWorkbook.from_filelike(file) as book:
            found = book.get_sheet_by_name(_choose(path, book.sheet_names, sheet))
            first = found.start[0] + 1 if found.start else 1
            rows = found.to_python(skip_empty_area=True)
    except (CalamineError, OSError) as error:
        raise _unreadable(path, error) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the Rust inside, and no Exception
            raise
        raise _unreadable(path, error) from None
    return [(first + i, [_text(cell) for cell in cells]) for i, cells in enumerate(rows)]


def _choose(path: Path, names: list[str], asked: str | None) -> str:
    if not names:
        raise DataError(f"{path} has no sheets; {_REMEDY.removeprefix('or ')}")
    if asked is None or asked in names:
        return names[0] if asked is None else asked
    listed = ", ".join(repr(name[:40]) for name in names[:5]) + (", …" if names[5:] else "")
    raise DataError(f"{path} has no sheet {asked[:40]!r}; it has {listed}: choose with --sheet")


def _unreadable(path: Path, error: BaseException) -> DataError:
    return DataError(
        f"{path} cannot be read as an Excel workbook: {first_line(error)[:120]}; open it in Excel "
        "and save the table as CSV UTF-8"
    )


def _width(cells: list[str]) -> int:
    return max((i for i, cell in enumerate(cells, 1) if cell.strip()), default=0)


def _text(cell: _Cell) -> str:
    """Write a cell as the sheet shows it: whole numbers without a point."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)
