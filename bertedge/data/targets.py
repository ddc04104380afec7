"""What a labelled cell or JSON value says of its text: one label, several, or a number."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bertedge.data.example import check_label, shorten
from bertedge.errors import DataError
from bertedge.spec import ProblemType

SEPARATOR = ","
"""Between the labels of a cell, where nothing else is said."""
MISSING = ("nan", "NaN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a target is read, and how."""

    path: Path
    line: int
    problem_type: ProblemType
    separator: str | None
    """Between several labels."""

    def error(self, what: str) -> DataError:
        """Begin a message with file and line."""
        return DataError(f"{self.path}:{self.line}: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be predicted: one of the fields, as the problem type says."""

    label: str | None = None
    labels: tuple[str, ...] | None = None
    value: float | None = None


def of_cell(place: Place, cell: str) -> Target:
    """Read the cell of a table; an empty one is no label where there may be several."""
    match place.problem_type:
        case ProblemType.SINGLE_LABEL:
            return Target(label=check_label(place.path, place.line, cell))
        case ProblemType.MULTI_LABEL:
            return Target(labels=_split(place, cell))
        case ProblemType.REGRESSION:
            return Target(value=_number(place, check_label(place.path, place.line, cell)))


def of_json(place: Place, key: str, value: object) -> Target:
    """Read the value of a JSON object; a list holds several labels, an empty one none."""
    several = place.problem_type is ProblemType.MULTI_LABEL
    missing = value is None or (isinstance(value, float) and not math.isfinite(value))
    if missing:
        fill = "write [] for no label" if several else "fill it in or delete the row"
        raise place.error(f"the label {key!r} is {json.dumps(value)}, a missing value; {fill}")
    if several and isinstance(value, list):
        return Target(labels=_unique(_label(place, key, item) for item in value))
    if place.problem_type is ProblemType.REGRESSION:
        if not isinstance(value, int | float | str) or isinstance(value, bool):
            raise place.error(f"the label {key!r} is {shorten(json.dumps(value))[1:-1]}, no number")
        return of_cell(place, str(value))
    if several and not isinstance(value, str):
        return Target(labels=(_name(place, key, value),))
    return of_cell(place, _name(place, key, value))


def _name(place: Place, key: str, value: object) -> str:
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, str):
        return value
    kind = "a list" if isinstance(value, list) else "null" if value is None else "an object"
    hint = "; for several labels a row: --problem-type multi_label_classification"
    wanted = "each row has one label, a string"
    if place.problem_type is ProblemType.MULTI_LABEL:
        wanted, hint = "labels are strings in one list", ""
    raise place.error(
        f"the label {key!r} is {kind}; {wanted}{hint if isinstance(value, list) else ''}"
    )


def _label(place: Place, key: str, value: object) -> str:
    """Read one label of a list."""
    return check_label(place.path, place.line, _name(place, key, value))


def _split(place: Place, cell: str) -> tuple[str, ...]:
    if not cell.strip():
        return ()
    separator = place.separator or SEPARATOR
    parts = [part.strip() for part in cell.split(separator)]
    for part in parts:
        if not part or part in MISSING:
            found = f"is {part}, a missing value" if part else "is empty"
            raise place.error(
                f"a label of {shorten(cell)}, split at {separator!r}, {found}; leave the whole "
                "cell empty for no label, or choose with --label-separator"
            )
    return _unique(parts)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _number(place: Place, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        hint = "; decimals follow a point, not a comma" if "," in text else ""
        raise place.error(
            f"the label {shorten(text)} is no finite number, which regression needs{hint}"
        )
    return value
