"""The rows of an Excel workbook's sheet, by the `excel` extra, in a process with bounds."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bertedge.data import sheet_process
from bertedge.data.lines import Row, unreadable
from bertedge.errors import DataError, MissingExtraError

FORMAT = "excel"
EXTENSIONS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_REMEDY = "save the table as CSV UTF-8 in Excel"


def read_rows(path: Path, sheet: str | None) -> Iterator[Row]:
    """Yield the rows of the sheet (the first) that have any cell filled in, as Excel numbers them.

    Columns to the right that are empty in all rows are left out. Raises DataError for what is no
    workbook, has no such sheet, or needs more than `sheet_process` may take; MissingExtraError
    where the reader is not installed.
    """
    program = str(Path(sheet_process.__file__).resolve())
    arguments = [str(path.absolute()), *([] if sheet is None else [sheet])]
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    assert process.stdout is not None
    try:
        for line in process.stdout:
            item = json.loads(line)
            if isinstance(item, dict):
                raise _error(path, item, sheet)
            yield Row(*item)
        if process.wait() != 0:
            bound = f"{sheet_process.MEMORY >> 30} GiB of memory and {sheet_process.SECONDS} s"
            raise _unreadable(path, f"it takes more than {bound}")
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _error(path: Path, item: dict[str, object], asked: str | None) -> DataError | MissingExtraError:
    if "missing" in item:
        return MissingExtraError("excel", "python_calamine", f"or {_REMEDY}")
    names = item.get("sheets")
    if not isinstance(names, list):
        return _unreadable(path, str(item.get("error"))[:120])
    if not names:
        return DataError(f"{path} has no sheets; {_REMEDY}")
    listed = ", ".join(repr(name[:40]) for name in names[:5]) + (", …" if names[5:] else "")
    return DataError(
        f"{path} has no sheet {str(asked)[:40]!r}; it has {listed}: choose with --sheet"
    )


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(f"{path} cannot be read as an Excel workbook: {why}; open it and {_REMEDY}")
