"""What labels of a file are called: a map of names that the user gives, or that ids stand for."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bertedge.data import separators, tabular
from bertedge.data.example import Columns, Example, Reading, TextExample, TokenExample, shorten
from bertedge.data.json_rows import read_document
from bertedge.data.lines import check_file
from bertedge.data.report import RowReport
from bertedge.data.tags import split_tag, to_iob2
from bertedge.errors import DataError
from bertedge.spec import OUTSIDE, LabelKind, ProblemType, Task


def read_label_map(path: Path) -> dict[str, str]:
    """Read a label's name in a file and the model's name for it.

    That is a JSON object, or two columns of CSV or TSV without a header. DataError where it is
    neither, or says two things of one label.
    """
    check_file(path)
    pairs = _from_json(path) if path.suffix.lower() == ".json" else _from_table(path)
    names: dict[str, str] = {}
    for old, new in pairs:
        if not new or names.get(old, new) != new:
            what = "no name" if not new else f"two names, {shorten(names[old])} and {shorten(new)}"
            raise DataError(f"{path}: the label {shorten(old)} is given {what}; leave one")
        names[old] = new
    if not names:
        raise DataError(f"{path} maps no labels; write the file's label and the model's in a row")
    return names


def renamed(example: Example, names: Mapping[str, str]) -> Example:
    """Return the example with its labels called otherwise; tags also by the type that they have."""
    if isinstance(example, TextExample):
        if example.label is not None:
            return replace(example, label=names.get(example.label, example.label))
        if example.labels is not None:
            labels = dict.fromkeys(names.get(label, label) for label in example.labels)
            return replace(example, labels=tuple(labels))
    if isinstance(example, TokenExample) and example.tags is not None:
        intent = None if example.intent is None else names.get(example.intent, example.intent)
        tags = tuple(_tag(tag, names) for tag in example.tags)
        if all(map(str.isdigit, example.tags)) and all(map(split_tag, tags)):
            tags = to_iob2(tags)  # names in place of ids may be of any scheme
        return replace(example, tags=tags, intent=intent)
    return example


def _tag(tag: str, names: Mapping[str, str]) -> str:
    if tag in names or tag == OUTSIDE:
        return names.get(tag, tag)
    side, kind = tag[:2], tag[2:]
    return side + names.get(kind, kind)


def _from_json(path: Path) -> list[tuple[str, str]]:
    try:
        found = json.loads(read_document(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({str(error)[:80]})") from None
    if not isinstance(found, dict) or not all(
        isinstance(name, str | int) and not isinstance(name, bool) for name in found.values()
    ):
        raise DataError(
            f'{path} must be an object such as {{"file\'s label": "model\'s label"}}, all strings'
        )
    return [(old.strip(), str(new).strip()) for old, new in found.items()]


def _from_table(path: Path) -> list[tuple[str, str]]:
    reading = Reading(
        path=path,
        task=Task.of(LabelKind.CLASSES),
        columns=Columns(format="csv"),
        problem_type=ProblemType.SINGLE_LABEL,
    )
    reading = replace(reading, columns=separators.settle(reading))
    rows = list(tabular.read_rows(reading, RowReport()))
    for number, row in enumerate(rows, 1):
        if len(row.cells) != 2:
            raise DataError(
                f"{path}: row {number} has {len(row.cells)} columns; a label map has two: the "
                "file's label and the model's"
            )
    return [(old.strip(), new.strip()) for _, (old, new) in rows]
