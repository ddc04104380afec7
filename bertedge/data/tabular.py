"""CSV (quoted as RFC 4180 says), TSV (nothing is quoted: quotes are data), and Excel's sheets."""

import csv
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bertedge.data import contents, guessing, separators, workbook
from bertedge.data.example import Columns, Reading, TextExample, shorten
from bertedge.data.lines import LONGEST_LINE, Row, read_lines, take_head
from bertedge.data.report import BadRows, RowReport
from bertedge.data.targets import text_example
from bertedge.errors import DataError

Record = tuple[int, list[str | None]]
"""A row's line, and its text, second text and label."""
_OPEN = 'a quote (") opens in this row and is never closed; close it, or write "" for one'
_REASONS = {
    "unexpected end of data": _OPEN,
    "field larger": _OPEN,
    "expected after": 'text follows a closing quote ("): write "" for a quote in a text, or close '
    "an open one",
    "new-line character": "a carriage return without a line feed ends a row; save it with \\n line "
    "ends",
}


def resolve(reading: Reading) -> Columns:
    """Fill in the separator, whether there is a header, and the columns, from the first rows."""
    if reading.columns.format != workbook.FORMAT:
        reading = replace(reading, columns=separators.settle(reading))
    rows = read_rows(reading, RowReport(policy=reading.columns.bad_rows))
    head = take_head(rows, contents.SAMPLE, lambda row: sum(map(len, row.cells)))
    if not head:
        raise DataError(f"{reading.path} is empty; give a file with at least one labelled row")
    first = head[0]
    known = _has_header(reading, first)
    if not known:
        guessed, columns = _guess(head, reading)
        known = guessed if known is None else known
        reading = replace(reading, columns=columns)
    if known and len(first.cells) == 2:
        reading = replace(reading, columns=_guess_named(head, reading))
    if known:
        return replace(guessing.resolve_names(_header(reading, first), reading), header=True)
    return replace(_resolve_numbers(first, reading), header=False)


def records(reading: Reading, report: RowReport) -> Iterator[Record]:
    """Yield the cells of the settled columns; a row of another width is a bad one."""
    rows = read_rows(reading, report)
    first = next(rows, None)
    if first is None:
        return
    columns = reading.columns
    places = [
        None if name is None else _position(reading, first, name)
        for name in (columns.text, columns.pair, columns.label)
    ]
    for row in rows if columns.header else itertools.chain((first,), rows):
        if len(row.cells) == len(first.cells):
            yield row.line, [None if place is None else row.cells[place] for place in places]
        else:
            report.skip(_uneven(reading, row, len(first.cells)))


def column(reading: Reading, name: str) -> Iterator[tuple[int, str]]:
    """Yield the line of each row with its cell in any column, by name or number."""
    rows = read_rows(reading, RowReport(policy=BadRows.SKIP))
    first = next(rows, None)
    if first is None:
        return
    place = _position(reading, first, name)
    for row in rows if reading.columns.header else itertools.chain((first,), rows):
        if place < len(row.cells):
            yield row.line, row.cells[place]


def example(reading: Reading, record: Record, report: RowReport) -> TextExample:
    """Check a row's text, second text and label."""
    line, (text, pair, label) = record
    return text_example(reading, line, text, pair, label)


def read_rows(reading: Reading, report: RowReport) -> Iterator[Row]:
    """Yield the rows with anything in them."""
    path, columns = reading.path, reading.columns
    if columns.format == workbook.FORMAT:
        yield from workbook.read_rows(path, columns.sheet)
        return
    if columns.format == "csv":
        yield from _quoted_rows(path, columns)
        return
    for number, text in read_lines(path, columns.encoding, report):
        cells = text.rstrip("\r\n").split(columns.separator or ",")
        if not _blank(cells):
            yield Row(number, cells)


def _quoted_rows(path: Path, columns: Columns) -> Iterator[Row]:
    start, size = 1, 0

    def lines() -> Iterator[str]:
        """Return the lines, of one row no more than is held in memory."""
        nonlocal size
        for number, text in read_lines(path, columns.encoding):
            size += len(text)
            if size > LONGEST_LINE:
                raise DataError(
                    f"{path}:{start}: the row has more than {LONGEST_LINE >> 20} MiB; is a quote "
                    '(") opened in it and never closed?'
                )
            # A blank line stands in for Excel's statement of the separator.
            yield "\n" if number == 1 and separators.stated(text) else text

    reader = separators.read_quoted(lines(), columns.separator or ",")
    while True:
        start, size = reader.line_num + 1, 0
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path}:{start}: {_explain(error)}") from None
        if cells is None:
            return
        if not _blank(cells):
            yield Row(start, cells)


def _blank(cells: list[str]) -> bool:
    return not cells or (len(cells) == 1 and not cells[0].strip())


def _explain(error: csv.Error) -> str:
    known = (advice for reason, advice in _REASONS.items() if reason in str(error))
    return next(known, f"this is not CSV ({error}); for a file without quoting say --format tsv")


def _has_header(reading: Reading, first: Row) -> bool | None:
    """Return whether the first row names columns: as told, by known names; None: it may or may not.

    Known are also the names of the file that the model was trained on.
    """
    if reading.columns.header is not None:
        return reading.columns.header
    texts = guessing.known(first.cells, guessing.TEXTS)
    labels = guessing.known(first.cells, guessing.label_names(reading))
    told = reading.columns.named.values()
    if reading.trained.header and guessing.find(first.cells, reading.trained.text) is not None:
        return True
    if not told:
        return True if texts and (labels or not reading.labelled) else None
    if not all(map(guessing.is_number, told)):
        return True
    if texts and labels:
        raise DataError(
            f"{reading.path}:{first.line}: the first row looks like a header "
            f"({_header(reading, first).found()}), but the columns are given as numbers; "
            "give them by name, or say --header or --no-header"
        )
    return False


def _guess(head: list[Row], reading: Reading) -> tuple[bool | None, Columns]:
    """Guess the header, and two columns without names, from the cells; where none is told."""
    columns, before = reading.columns, reading.trained.named
    if columns.named:
        return columns.header, columns
    if not reading.labelled:
        before.pop("label", None)
    width = len(head[0].cells)
    if reading.trained.header is False and all(int(name) < width for name in before.values()):
        return False, columns.with_names(before)
    text = _tell_apart(head, reading)
    if text is None:
        return None, columns
    header = contents.has_header(head, 1 - text) if columns.header is None else columns.header
    if header is False:
        columns = _of_two(("0", "1"), text, reading)
    return header, columns


def _guess_named(head: list[Row], reading: Reading) -> Columns:
    """Choose between two columns where a name says nothing, by the other or by the cells."""
    names = _header(reading, head[0]).names
    if reading.columns.named or len(set(names)) < 2 or reading.pair:
        return reading.columns
    trained = guessing.find(names, reading.trained.text)
    known = [trained] if trained else guessing.known(names, guessing.TEXTS)
    label = guessing.known(names, guessing.label_names(reading))
    if len(known) == 1:
        text: int | None = names.index(known[0])
    elif len(label) == 1:
        text = 1 - names.index(label[0])
    else:
        text = None if known else _tell_apart(head, reading)
    if text is None or len(known) + len(label) == 2:
        return reading.columns
    return _of_two(names, text, reading)


def _of_two(names: Sequence[str], text: int, reading: Reading) -> Columns:
    label = {"label": names[1 - text]} if reading.labelled else {}
    return reading.columns.with_names({"text": names[text], **label})


def _tell_apart(head: list[Row], reading: Reading) -> int | None:
    even = all(len(row.cells) == 2 for row in head)
    return contents.text_column(head) if even and len(head) > 1 and not reading.pair else None


def _resolve_numbers(first: Row, reading: Reading) -> Columns:
    """Settle on numbers where there is no header; only what leaves no choice is guessed."""
    columns, told = reading.columns, reading.columns.named
    for name in told.values():
        _position(reading, first, name)
    wanted = {"text": True, "pair": reading.pair, "label": reading.labelled}
    flags = [flag for flag, needed in wanted.items() if needed or flag in told]
    missing = [flag for flag in flags if flag not in told]
    numbers = [str(number) for number in range(len(first.cells))]
    left = [number for number in numbers if number not in told.values()]
    # Without a word about the header the first row might be one, unless it is a lone text.
    sure = columns.header is False or len(missing) < len(flags) or len(numbers) == 1
    if missing and (len(left) != len(missing) or not sure):
        cells = [f"column {n} is {shorten(cell, 24)}" for n, cell in enumerate(first.cells[:4])]
        raise DataError(
            f"{reading.path}:{first.line}: the first row has no known column names: "
            f"{', '.join(cells)}{', …' if len(first.cells) > 4 else ''}"
            f"{_other_separator(reading, first)}; choose with "
            f"{' '.join(f'--{flag}-column N' for flag in flags)} (or names, if it is a header)"
        )
    return columns.with_names(told | dict(zip(missing, left, strict=False)))


def _position(reading: Reading, first: Row, name: str) -> int:
    if reading.columns.header:
        return _header(reading, first).position(name)
    if guessing.is_number(name) and int(name) < len(first.cells):
        return int(name)
    raise DataError(
        f"{reading.path}:{first.line}: there is no column {name!r}: without a header columns are "
        f"numbers, here 0 to {len(first.cells) - 1}{_other_separator(reading, first)}"
    )


def _header(reading: Reading, first: Row) -> guessing.Header:
    names = tuple(cell.strip() for cell in first.cells)
    return guessing.Header(where=f"{reading.path}:{first.line}", names=names, kind="column")


def _uneven(reading: Reading, row: Row, width: int) -> DataError:
    separator = reading.columns.separator or ","
    name = separators.name_of(separator)
    found = f"{len(row.cells)} column{'s' if len(row.cells) > 1 else ''}"
    if len(row.cells) < width:
        advice = f"add the missing ones, separated by {name}"
    elif reading.columns.format == "csv":
        advice = f"put a text that holds a {name} between quotes"
    else:
        advice = f"is there a {name} in a text? a quoted file is --format csv --separator {name}"
    return DataError(
        f"{reading.path}:{row.line}: the row has {found}, the first row has {width}: "
        f"{shorten(row.cells[0])} …; {advice}"
    )


def _other_separator(reading: Reading, first: Row) -> str:
    if len(first.cells) == 1:
        text = first.cells[0]
        for character, name in separators.NAMES.items():
            # A space beside it makes it punctuation of a text.
            used = character in text.replace(character + " ", "")
            if used and character != reading.columns.separator:
                return f" (there is a {name} in it: --separator {name}?)"
    return ""
