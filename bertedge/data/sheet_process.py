"""The process that reads a workbook's sheet and writes its rows to standard output as JSON lines.

A small hostile workbook makes its reader ask for any amount of memory, and the reader then ends
the process; so it is one of its own, with bounds. It is run by its path, and imports no bertedge.
"""

import contextlib
import datetime
import json
import os
import sys
from collections.abc import Iterable

MEMORY = 2**31
"""In bytes, 2 GiB: a sheet of a million rows and ten columns takes a quarter of that."""
SECONDS = 60
"""Of processor time."""
LONGEST_CELL = 2**24
"""In characters; Excel's own limit is 32,767."""


def main(path: str, sheet: str | None) -> None:
    """Write a line for each row with any cell filled in: its number and its cells.

    Or, where that cannot be, one line with an object: `error`, or the `sheets` that there are.
    """
    bound()
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        say({"missing": True})
        return
    try:
        with open(path, "rb") as file, CalamineWorkbook.from_filelike(file) as book:
            names = list(book.sheet_names)
            if not names or (sheet is not None and sheet not in names):
                say({"sheets": names})
                return
            found = book.get_sheet_by_name(names[0] if sheet is None else sheet)
            rows = (cells for cells in found.iter_rows() if not blank(cells))
            width = max((filled(map(text, cells)) for cells in rows), default=0)
            for number, cells in enumerate(found.iter_rows(), 1):
                if blank(cells):
                    continue
                row = [text(cell) for cell in cells[:width]]
                if any(map(len, row)) and max(map(len, row)) > LONGEST_CELL:
                    say({"error": f"a cell of row {number} has over {LONGEST_CELL:,} characters"})
                    return
                if filled(row):
                    say([number, row])
    except (CalamineError, OSError, MemoryError) as error:
        say({"error": str(error) or type(error).__name__})
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the Rust inside, and no Exception
            raise
        say({"error": str(error)})


def bound() -> None:
    """Limit the memory and the time of this process, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def say(item: object) -> None:
    """Write one line; end quietly where nobody reads on."""
    try:
        sys.stdout.write(json.dumps(item) + "\n")
    except BrokenPipeError:
        os._exit(0)


def blank(cells: list[object]) -> bool:
    """Return whether a row has no cell; fast, as a sheet may have a million of them."""
    return cells.count("") == len(cells)


def filled(cells: Iterable[str]) -> int:
    """Count the cells up to the last one that is filled in."""
    return max((i for i, cell in enumerate(cells, 1) if cell.strip()), default=0)


def text(cell: object) -> str:
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


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
