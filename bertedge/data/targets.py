"""Texts with what is to be predicted of them: one label, several, or a number."""

import json
import math
from collections.abc import Iterable
from typing import TypedDict

from bertedge.data.example import (
    MISSING,
    Reading,
    TextExample,
    check_label,
    check_text,
    describe,
    shorten,
)
from bertedge.errors import DataError
from bertedge.spec import ProblemType

SEPARATOR = ","
"""Between the labels of a cell, where nothing else is said."""


class Target(TypedDict, total=False):
    """What is to be predicted: the field of a TextExample that the problem type asks for."""

    label: str
    labels: tuple[str, ...]
    value: float


def text_example(
    reading: Reading, line: int, text: object, pair: object = None, label: object = None
) -> TextExample:
    """Check what a line holds in the settled columns, as strings or as JSON has it. DataError."""
    where = f"{reading.path}:{line}"
    columns = reading.columns
    target: Target = {} if columns.label is None else _target(where, label, reading)
    return TextExample(
        text=check_text(where, text, "text", columns.text),
        pair=None if columns.pair is None else check_text(where, pair, "second text", columns.pair),
        line=line,
        **target,
    )


def read_label(where: str, key: str, value: object, *, several: bool = False) -> str:
    """Return the one label that a value names; DataError where it is missing or of another kind."""
    _check_given(where, key, value, several=several)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, str):
        return check_label(where, value)
    hint = "; for several labels a row: --problem-type multi_label_classification"
    wanted = "each row has one label, a string" + (hint if isinstance(value, list) else "")
    if several:
        wanted = "labels are strings in one list"
    raise DataError(f"{where}: the label {key!r} is {describe(value)}; {wanted}")


def _target(where: str, value: object, reading: Reading) -> Target:
    """Read a label; an empty cell is none where there may be several, a list holds them."""
    key = str(reading.columns.label)
    match reading.problem_type:
        case ProblemType.SINGLE_LABEL:
            return {"label": read_label(where, key, value)}
        case ProblemType.MULTI_LABEL if isinstance(value, str):
            return {"labels": _split(where, value, reading.columns.label_separator or SEPARATOR)}
        case ProblemType.MULTI_LABEL:
            _check_given(where, key, value, several=True)
            given = value if isinstance(value, list) else [value]
            return {"labels": _unique(read_label(where, key, x, several=True) for x in given)}
        case ProblemType.REGRESSION:
            _check_given(where, key, value)
            if not isinstance(value, int | float | str) or isinstance(value, bool):
                shown = shorten(json.dumps(value))[1:-1]
                raise DataError(f"{where}: the label {key!r} is {shown}, no number")
            return {"value": _number(where, check_label(where, str(value)))}


def _check_given(where: str, key: str, value: object, *, several: bool = False) -> None:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        fill = "write [] for no label" if several else "fill it in or delete the row"
        raise DataError(
            f"{where}: the label {key!r} is {json.dumps(value)}, a missing value; {fill}"
        )


def _split(where: str, cell: str, separator: str) -> tuple[str, ...]:
    if not cell.strip():
        return ()
    parts = [part.strip() for part in cell.split(separator)]
    for part in parts:
        if not part or part in MISSING:
            found = f"is {part}, a missing value" if part else "is empty"
            raise DataError(
                f"{where}: a label of {shorten(cell)}, split at {separator!r}, {found}; leave the "
                "whole cell empty for no label, or choose with --label-separator"
            )
    return _unique(parts)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _number(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        hint = "; decimals follow a point, not a comma" if "," in text else ""
        raise DataError(
            f"{where}: the label {shorten(text)} is no finite number, which regression needs{hint}"
        )
    return value
