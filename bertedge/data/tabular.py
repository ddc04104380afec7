"""CSV (quoted as RFC 4180 says), TSV (nothing is quoted: quotes are data), and Excel's sheets."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bertedge.data import contents, guessing, separators, workbook
from bertedge.data.example import (
    Columns,
    Request,
    TextExample,
    check_text,
    shorten,
)
from bertedge.data.lines import LONGEST_LINE, Row, read_lines, take_head
from bertedge.data.report import RowReport
from bertedge.data.targets import Place, Target, of_cell
from bertedge.errors import DataError
from bertedge.spec import ProblemType


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    width: int
    text: int
    pair: int | None
    label: int | None


def resolve(path: Path, columns: Columns, request: Request) -> Columns:
    """Fill in the separator, whether there is a header, and the columns, from the first row."""
    if columns.format != workbook.FORMAT:
        columns = separators.settle(path, columns, request.trained)
    report = RowReport(policy=columns.bad_rows)
    rows = _rows(path, columns, report)
    head = take_head(rows, contents.SAMPLE, lambda row: sum(map(len, row.cells)))
    if not head:
        raise DataError(f"{path} is empty; give a file with at least one labelled row")
    first = head[0]
    known = _has_header(path, first, columns, request)
    if not known:
        guessed, columns = _guess(head, columns, request)
        known = guessed if known is None else known
    if known and len(first.cells) == 2:
        columns = _guess_named(path, head, columns, request)
    if known:
        columns = guessing.resolve_names(_header(path, first), columns, request)
        return replace(columns, header=True)
    return replace(_resolve_numbers(path, first, columns, request), header=False)


def names(path: Path, columns: Columns) -> tuple[str, ...]:
    """Return the names in the header; none where there is no header."""
    first = next(_rows(path, columns, RowReport(policy=columns.bad_rows)), None)
    return _header(path, first).names if first is not None and columns.header else ()


def read(
    path: Path, columns: Columns, problem_type: ProblemType, report: RowReport
) -> Iterator[TextExample]:
    """Yield the examples; `columns` comes from `resolve`. Bad rows are left to `report`."""
    places: _Places | None = None
    for row in _rows(path, columns, report):
        if places is None:
            places = _locate(path, row, columns)
            if columns.header:
                continue
        place = Place(
            path=path,
            line=row.line,
            problem_type=problem_type,
            separator=columns.label_separator,
        )
        try:
            if len(row.cells) != places.width:
                raise _uneven(path, row, places.width, columns)
            example = _example(row, places, place)
        except DataError as error:
            report.skip(error)
            continue
        yield example


def _example(row: Row, places: _Places, place: Place) -> TextExample:
    path = place.path
    pair = None if places.pair is None else row.cells[places.pair]
    target = Target() if places.label is None else of_cell(place, row.cells[places.label])
    return TextExample(
        text=check_text(path, row.line, row.cells[places.text], "text"),
        pair=pair if pair is None else check_text(path, row.line, pair, "second text"),
        label=target.label,
        line=row.line,
        labels=target.labels,
        value=target.value,
    )


def _rows(path: Path, columns: Columns, report: RowReport) -> Iterator[Row]:
    if columns.format == workbook.FORMAT:
        yield from workbook.read_rows(path, columns.sheet)
        return
    separator = columns.separator or ","
    if columns.format == "csv":
        yield from _quoted_rows(path, columns, separator)
        return
    for number, text in read_lines(path, columns.encoding, report):
        cells = text.rstrip("\r\n").split(separator)
        if not _blank(cells):
            yield Row(number, cells)


def _quoted_rows(path: Path, columns: Columns, separator: str) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
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

    # strict: otherwise a quote that is never closed swallows the rest of the file unnoticed.
    reader = csv.reader(lines(), delimiter=separator, strict=True)
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
    reason = str(error)
    if "unexpected end of data" in reason or "field larger" in reason:
        return 'a quote (") opens in this row and is never closed; close it, or write "" for one'
    if "expected after" in reason:
        return (
            'text follows a closing quote ("): write "" for a quote in a text, or close an open one'
        )
    if "new-line character" in reason:
        return "a carriage return without a line feed ends a row; save it with \\n line ends"
    return f"this is not CSV ({reason}); for a file without quoting say --format tsv"


def _has_header(path: Path, first: Row, columns: Columns, request: Request) -> bool | None:
    """Return whether the first row names columns: as told, by known names; None: it may or may not.

    Known are also the names of the file that the model was trained on.
    """
    if columns.header is not None:
        return columns.header
    texts = guessing.known(first.cells, guessing.TEXTS)
    labels = guessing.known(first.cells, guessing.label_names(request))
    told = [name for name in (columns.text, columns.pair, columns.label) if name is not None]
    if request.trained.header and guessing.find(first.cells, request.trained.text) is not None:
        return True
    if not told:
        return True if texts and (labels or not request.labelled) else None
    if not all(guessing.is_number(name) for name in told):
        return True
    if texts and labels:
        raise DataError(
            f"{path}:{first.line}: the first row looks like a header "
            f"({_header(path, first).found()}), but the columns are given as numbers; "
            "give them by name, or say --header or --no-header"
        )
    return False


def _guess(head: list[Row], columns: Columns, request: Request) -> tuple[bool | None, Columns]:
    """Guess the header, and two columns without names, from the cells; where none is told."""
    if any((columns.text, columns.pair, columns.label)):
        return columns.header, columns
    trained = request.trained
    width = len(head[0].cells)
    numbers = [name for name in (trained.text, trained.pair, trained.label) if name is not None]
    if trained.header is False and all(int(name) < width for name in numbers):
        label = trained.label if request.labelled else None
        return False, replace(columns, text=trained.text, pair=trained.pair, label=label)
    text = _tell_apart(head, request)
    if text is None:
        return None, columns
    header = contents.has_header(head, 1 - text) if columns.header is None else columns.header
    if header is False:
        label = str(1 - text) if request.labelled else None
        columns = replace(columns, text=str(text), label=label)
    return header, columns


def _guess_named(path: Path, head: list[Row], columns: Columns, request: Request) -> Columns:
    """Choose between two columns where a name says nothing, by the other or by the cells."""
    names = _header(path, head[0]).names
    if any((columns.text, columns.pair, columns.label)) or len(set(names)) < 2 or request.pair:
        return columns
    trained = guessing.find(names, request.trained.text)
    known = [trained] if trained else guessing.known(names, guessing.TEXTS)
    label = guessing.known(names, guessing.label_names(request))
    if len(known) == 1:
        text: int | None = names.index(known[0])
    elif len(label) == 1:
        text = 1 - names.index(label[0])
    else:
        text = None if known else _tell_apart(head, request)
    if text is None or len(known) + len(label) == 2:
        return columns
    return replace(columns, text=names[text], label=names[1 - text] if request.labelled else None)


def _tell_apart(head: list[Row], request: Request) -> int | None:
    even = all(len(row.cells) == 2 for row in head)
    return contents.text_column(head) if even and len(head) > 1 and not request.pair else None


def _resolve_numbers(path: Path, first: Row, columns: Columns, request: Request) -> Columns:
    """Settle on numbers where there is no header; only what leaves no choice is guessed."""
    told = {"text": columns.text, "pair": columns.pair, "label": columns.label}
    for name in told.values():
        if name is not None:
            _position(path, first, name, columns)
    wanted = {"text": True, "pair": request.pair, "label": request.labelled}
    flags = [flag for flag, name in told.items() if wanted[flag] or name is not None]
    missing = [flag for flag in flags if told[flag] is None]
    numbers = [str(number) for number in range(len(first.cells))]
    left = [number for number in numbers if number not in told.values()]
    # Without a word about the header the first row might be one, unless it is a lone text.
    sure = columns.header is False or len(missing) < len(flags) or len(numbers) == 1
    if missing and (len(left) != len(missing) or not sure):
        raise _choose(path, first, columns, flags)
    told |= dict(zip(missing, left, strict=False))
    return replace(columns, text=told["text"], pair=told["pair"], label=told["label"])


def _choose(path: Path, first: Row, columns: Columns, flags: list[str]) -> DataError:
    cells = [f"column {n} is {shorten(cell, 24)}" for n, cell in enumerate(first.cells[:4])]
    more = ", …" if len(first.cells) > 4 else ""
    return DataError(
        f"{path}:{first.line}: the first row has no known column names: {', '.join(cells)}{more}"
        f"{_other_separator(first, columns)}; choose with "
        f"{' '.join(f'--{flag}-column N' for flag in flags)} (or names, if it is a header)"
    )


def _locate(path: Path, first: Row, columns: Columns) -> _Places:
    assert columns.text is not None
    pair, label = columns.pair, columns.label
    return _Places(
        width=len(first.cells),
        text=_position(path, first, columns.text, columns),
        pair=None if pair is None else _position(path, first, pair, columns),
        label=None if label is None else _position(path, first, label, columns),
    )


def _position(path: Path, first: Row, name: str, columns: Columns) -> int:
    if columns.header:
        return _header(path, first).position(name)
    if guessing.is_number(name) and int(name) < len(first.cells):
        return int(name)
    raise DataError(
        f"{path}:{first.line}: there is no column {name!r}: without a header columns are numbers, "
        f"here 0 to {len(first.cells) - 1}{_other_separator(first, columns)}"
    )


def _header(path: Path, first: Row) -> guessing.Header:
    names = tuple(cell.strip() for cell in first.cells)
    return guessing.Header(where=f"{path}:{first.line}", names=names, kind="column")


def _uneven(path: Path, row: Row, width: int, columns: Columns) -> DataError:
    separator = columns.separator or ","
    name = separators.name_of(separator)
    found = f"{len(row.cells)} column{'s' if len(row.cells) > 1 else ''}"
    if len(row.cells) < width:
        advice = f"add the missing ones, separated by {name}"
    elif columns.format == "csv":
        advice = f"put a text that holds a {name} between quotes"
    else:
        advice = f"is there a {name} in a text? a quoted file is --format csv --separator {name}"
    return DataError(
        f"{path}:{row.line}: the row has {found}, the first row has {width}: "
        f"{shorten(row.cells[0])} …; {advice}"
    )


def _other_separator(first: Row, columns: Columns) -> str:
    if len(first.cells) == 1:
        text = first.cells[0]
        for character, name in separators.NAMES.items():
            # A space beside it makes it punctuation of a text.
            if character in text.replace(character + " ", "") and character != columns.separator:
                return f" (there is a {name} in it: --separator {name}?)"
    return ""
