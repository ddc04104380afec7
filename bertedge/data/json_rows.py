"""The values of a JSON file: one a line, or those of one list that is the whole file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from bertedge.data.lines import (
    LONGEST_DOCUMENT,
    check_surrogates,
    read_document,
    read_lines,
)
from bertedge.data.report import RowReport
from bertedge.errors import DataError

DEEPEST = 100
"""Levels of lists and objects: Python's own limit, near 1,000, fails at any later use."""
_BETWEEN = re.compile(r"[\s,]*")


def read_rows(path: Path, encoding: str | None, report: RowReport) -> Iterator[tuple[int, object]]:
    """Yield the line on which each value begins, and the value; bad lines are left to `report`."""
    if _is_list(path, encoding):
        yield from _entries(path, encoding, report)
        return
    for line, text in read_lines(path, encoding, report):
        if not text.strip():
            continue
        try:
            item = json.loads(text)
            _check(path, line, text, item)
        except json.JSONDecodeError as error:
            report.skip(
                DataError(
                    f"{path}:{line}: this line is not JSON ({error.msg} at character "
                    f"{error.pos + 1}){_hint(line, text)}"
                )
            )
        except (ValueError, RecursionError) as error:
            report.skip(DataError(f"{path}:{line}: this line cannot be read as JSON ({error})"))
        except DataError as error:
            report.skip(error)
        else:
            yield line, item


def _is_list(path: Path, encoding: str | None) -> bool:
    """Return whether a file is one list of objects; one list on a first line is a bad line."""
    lines = read_lines(path, encoding, longest=LONGEST_DOCUMENT)
    first = next((text for _, text in lines if text.strip()), "").strip()
    if not first.startswith("["):
        return False
    try:
        item = json.loads(first)
    except json.JSONDecodeError:  # it goes on in the next line
        return True
    except (ValueError, RecursionError):
        return False
    return isinstance(item, list) and bool(item) and isinstance(item[0], dict | list)


def _entries(path: Path, encoding: str | None, report: RowReport) -> Iterator[tuple[int, object]]:
    text = read_document(path, encoding)
    decoder = json.JSONDecoder()
    place, line = text.index("[") + 1, 1
    counted = 0
    while True:
        place = _end(_BETWEEN, text, place)
        line, counted = line + text.count("\n", counted, place), place
        if text.startswith("]", place):
            return
        try:
            item, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise DataError(
                f"{path}:{line}: the list cannot be read as JSON from here on ({reason}); fix it, "
                "or write one object a line"
            ) from None
        try:
            _check(path, line, text[counted:place], item)
        except DataError as error:
            report.skip(error)
        else:
            yield line, item


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    match = pattern.match(text, place)
    return match.end() if match else place


def _check(path: Path, line: int, text: str, item: object) -> None:
    if text.count("[") + text.count("{") > DEEPEST and _depth(item) > DEEPEST:
        raise DataError(f"{path}:{line}: this JSON is nested too deep, over {DEEPEST} levels")
    if "\\u" in text:
        check_surrogates(f"{path}:{line}", item)


def _depth(item: object) -> int:
    """Count the levels of a value, no further than one that is too deep."""
    level, depth = [item], 0
    while level and depth <= DEEPEST:
        depth += 1
        inner = [list(each.values()) if isinstance(each, dict) else each for each in level]
        level = [each for values in inner if isinstance(values, list) for each in values]
    return depth


def _hint(line: int, text: str) -> str:
    if line == 1 and text.strip() == "{":
        return "; the file looks like one JSON document: write one object a line"
    return "; write one object a line"
