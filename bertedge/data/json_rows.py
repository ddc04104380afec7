"""JSON within limits: a value a line, those of one list that is the whole file, or a document."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from bertedge.data.lines import first_line, read_lines
from bertedge.data.report import RowReport
from bertedge.errors import DataError

LONGEST_DOCUMENT = 2**27
"""In bytes, 128 MiB: three times SQuAD 2.0. A JSON document is parsed whole, to about five times
its size."""
DEEPEST = 100
"""Levels of lists and objects: Python's own limit, near 1,000, fails at any later use."""
_BEGIN = re.compile(r"[^\s,]|\Z")
"""Where an entry of a list, its end, or that of the file is."""

Parsed = tuple[int, str, object]
"""The line on which a value begins, its text, and itself."""


def read_rows(path: Path, encoding: str | None, report: RowReport) -> Iterator[tuple[int, object]]:
    """Yield the line on which each value begins, and the value; bad lines are left to `report`."""
    listed = _is_list(path, encoding)
    rows = _entries(path, encoding) if listed else _lines(path, encoding, report)
    for line, text, item in rows:
        try:
            _check(f"{path}:{line}", text, item)
        except DataError as error:
            report.skip(error)
        else:
            yield line, item


def read_document(path: Path, encoding: str | None = None) -> str:
    """Return all text of a file; DataError where it has more than LONGEST_DOCUMENT characters."""
    parts, size = [], 0
    for _, text in read_lines(path, encoding, longest=LONGEST_DOCUMENT):
        parts.append(text)
        size += len(text)
        if size > LONGEST_DOCUMENT:
            raise DataError(
                f"{path} is one JSON document of more than {LONGEST_DOCUMENT >> 20} MiB; write "
                "one object a line instead"
            )
    return "".join(parts)


def check_surrogates(where: str, item: object) -> None:
    """Raise DataError for half of a surrogate pair in any text of what JSON gave."""
    try:
        json.dumps(item, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise DataError(f"{where}: this JSON is nested too deep to be read") from None
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise DataError(
            f"{where}: {half} is half of a surrogate pair, no character; "
            "write the other half beside it, or delete it"
        ) from None


def _is_list(path: Path, encoding: str | None) -> bool:
    """Return whether a file is one list of objects; one list on a first line is a bad line."""
    first = first_line(path, encoding, LONGEST_DOCUMENT)
    if not first.startswith("["):
        return False
    try:
        item = json.loads(first)
    except json.JSONDecodeError:  # it goes on in the next line
        return True
    except (ValueError, RecursionError):
        return False
    return isinstance(item, list) and bool(item) and isinstance(item[0], dict | list)


def _lines(path: Path, encoding: str | None, report: RowReport) -> Iterator[Parsed]:
    for line, text in read_lines(path, encoding, report):
        if not text.strip():
            continue
        try:
            yield line, text, json.loads(text)
        except (ValueError, RecursionError) as error:
            what, hint = f"cannot be read as JSON ({error})", ""
            if isinstance(error, json.JSONDecodeError):
                what = f"is not JSON ({error.msg} at character {error.pos + 1})"
                document = line == 1 and text.strip() == "{"
                hint = "; the file looks like one JSON document: " if document else "; "
                hint += "write one object a line"
            report.skip(DataError(f"{path}:{line}: this line {what}{hint}"))


def _entries(path: Path, encoding: str | None) -> Iterator[Parsed]:
    text = read_document(path, encoding)
    decoder = json.JSONDecoder()
    end, begin, line = text.index("[") + 1, 0, 1
    while True:
        place = next(_BEGIN.finditer(text, end)).start()
        line, begin = line + text.count("\n", begin, place), place
        if text.startswith("]", begin):
            return
        try:
            item, end = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise DataError(
                f"{path}:{line}: the list cannot be read as JSON from here on ({reason}); fix it, "
                "or write one object a line"
            ) from None
        yield line, text[begin:end], item


def _check(where: str, text: str, item: object) -> None:
    if text.count("[") + text.count("{") > DEEPEST and _depth(item) > DEEPEST:
        raise DataError(f"{where}: this JSON is nested too deep, over {DEEPEST} levels")
    if "\\u" in text:
        check_surrogates(where, item)


def _depth(item: object) -> int:
    """Count the levels of a value, no further than one that is too deep."""
    level, depth = [item], 0
    while level and depth <= DEEPEST:
        depth += 1
        inner = [list(each.values()) if isinstance(each, dict) else each for each in level]
        level = [each for values in inner if isinstance(values, list) for each in values]
    return depth
