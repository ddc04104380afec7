"""JSON: one object a line, or a list of objects."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertedge.data import guessing, spans
from bertedge.data.example import (
    Columns,
    Example,
    QuestionExample,
    Request,
    TextExample,
    TokenExample,
    check_text,
)
from bertedge.data.json_rows import describe, read_rows
from bertedge.data.questions import question_example
from bertedge.data.report import RowReport
from bertedge.data.tags import TagError, to_iob2
from bertedge.data.targets import Place, Target, of_json
from bertedge.errors import DataError
from bertedge.spec import LabelKind, ProblemType, Task

MOST_TAGS = 1_000_000
"""Ids of tags are below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What the objects are examples of."""

    task: Task
    problem_type: ProblemType


def resolve(path: Path, columns: Columns, request: Request) -> Columns:
    """Fill in the keys from the first object."""
    report = RowReport(policy=columns.bad_rows)
    for line, value in read_rows(path, columns.encoding, report):
        try:
            item = _object(path, line, value)
        except DataError as error:
            report.skip(error)
            continue
        if request.task.labels_are is LabelKind.TAGS:
            item = spans.unwrap(item)
            columns = _resolve_spans(item, columns, request)
        header = guessing.Header(where=f"{path}:{line}", names=tuple(item), kind="key")
        return guessing.resolve_names(header, columns, request)
    raise DataError(f"{path} is empty; give a file with at least one labelled row")


def names(path: Path, columns: Columns) -> tuple[str, ...]:
    """Return the keys of the first object."""
    rows = read_rows(path, columns.encoding, RowReport(policy=columns.bad_rows))
    first = next((value for _, value in rows if isinstance(value, dict)), {})
    return tuple(str(key) for key in first)


def read(path: Path, columns: Columns, kind: Kind, report: RowReport) -> Iterator[Example]:
    """Yield the examples; `columns` comes from `resolve`. Bad rows are left to `report`."""
    for line, value in read_rows(path, columns.encoding, report):
        try:
            example = _example(path, line, value, columns, kind, report)
        except DataError as error:
            report.skip(error)
            continue
        if example is not None:
            yield example


def _example(
    path: Path, line: int, value: object, columns: Columns, kind: Kind, report: RowReport
) -> Example | None:
    item = _object(path, line, value)
    match kind.task.labels_are:
        case LabelKind.TAGS:
            item = spans.unwrap(item)
            if columns.label is not None and not spans.is_accepted(item):
                report.note(spans.REJECTED)
                return None
            tagged = spans.is_words(item.get(str(columns.label)))
            if isinstance(item.get(str(columns.text)), str) and not tagged:
                return _span_example(path, line, item, columns, report)
            return _token_example(path, line, item, columns)
        case LabelKind.INTENT_AND_TAGS:
            return _intent_example(path, line, item, columns)
        case LabelKind.SPANS:
            return _question_example(path, line, item, columns, report)
        case _:
            separator = columns.label_separator
            place = Place(path=path, line=line, problem_type=kind.problem_type, separator=separator)
            return _text_example(place, item, columns)


def _object(path: Path, line: int, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(
            f"{path}:{line}: this line is {describe(value)}; write one object a line, "
            'such as {"text": "…", "label": "…"}'
        )
    return value


def _resolve_spans(item: dict[str, Any], columns: Columns, request: Request) -> Columns:
    """Fill in the keys of a text and its spans, where the row has no list of words."""
    words = [name for name in item if name in guessing.known(tuple(item), guessing.TOKENS)]
    if columns.text is None and words:
        return columns
    if columns.text is not None and not isinstance(item.get(columns.text), str):
        return columns
    texts, labels = (guessing.known(tuple(item), names) for names in (spans.TEXTS, spans.LABELS))
    if columns.text is None and len(texts) == 1:
        columns = replace(columns, text=texts[0])
    if columns.label is None and request.labelled and len(labels) == 1:
        columns = replace(columns, label=labels[0])
    return columns


def _span_example(
    path: Path, line: int, item: dict[str, Any], columns: Columns, report: RowReport
) -> TokenExample:
    where = f"{path}:{line}"
    text = check_text(path, line, item[str(columns.text)], "text")
    given = None if columns.label is None else _value(path, line, item, columns.label)
    words, tags = spans.to_words(where, text, given, report)
    return TokenExample(tokens=words, tags=None if columns.label is None else tags, line=line)


def _text_example(place: Place, item: dict[str, Any], columns: Columns) -> TextExample:
    path, line = place.path, place.line

    def text(key: str | None, what: str) -> str:
        value = _value(path, line, item, key)
        if not isinstance(value, str):
            raise DataError(f"{path}:{line}: {key!r} is {describe(value)}; the {what} is a string")
        return check_text(path, line, value, what)

    target = Target()
    if columns.label is not None:
        target = of_json(place, columns.label, _value(path, line, item, columns.label))
    return TextExample(
        text=text(columns.text, "text"),
        pair=None if columns.pair is None else text(columns.pair, "second text"),
        label=target.label,
        line=line,
        labels=target.labels,
        value=target.value,
    )


def _token_example(path: Path, line: int, item: dict[str, Any], columns: Columns) -> TokenExample:
    tokens = _strings(path, line, item, columns.text)
    check_text(path, line, "".join(tokens), "list of words")
    if columns.label is None:
        return TokenExample(tokens=tokens, tags=None, line=line)
    numbers = _ids(item.get(columns.label))
    tags = numbers or _strings(path, line, item, columns.label)
    if len(tags) != len(tokens):
        raise DataError(
            f"{path}:{line}: {len(tokens)} words in {columns.text!r}, but {len(tags)} tags in "
            f"{columns.label!r}; give each word one tag"
        )
    try:
        own = tags if numbers else to_iob2(tags)
        return TokenExample(tokens=tokens, tags=own, line=line)
    except TagError as error:
        raise DataError(f"{path}:{line}: {error}") from None


def _intent_example(path: Path, line: int, item: dict[str, Any], columns: Columns) -> TokenExample:
    """Read words and tags, and the intent; a text that is one string is split at its spaces."""
    text = _value(path, line, item, columns.text)
    if isinstance(text, str):
        item = item | {str(columns.text): text.split()}
    words = _token_example(path, line, item, columns)
    if columns.intent is None:
        return words
    place = Place(path=path, line=line, problem_type=ProblemType.SINGLE_LABEL, separator=None)
    target = of_json(place, columns.intent, _value(path, line, item, columns.intent))
    return replace(words, intent=target.label)


def _question_example(
    path: Path, line: int, item: dict[str, Any], columns: Columns, report: RowReport
) -> QuestionExample | None:
    where = f"{path}:{line}"
    given = None if columns.label is None else _value(path, line, item, columns.label)
    return question_example(
        where,
        question=_value(path, line, item, columns.text),
        context=_value(path, line, item, columns.pair),
        answers=given,
        report=None if columns.label is None else report,
    )


def _ids(value: object) -> tuple[str, ...]:
    """Return tags that are all ids of names that the file does not hold, as the hub has them."""
    ids = value if isinstance(value, list) else []
    sound = all(isinstance(each, int) and not isinstance(each, bool) for each in ids)
    return tuple(map(str, ids)) if sound and all(0 <= each < MOST_TAGS for each in ids) else ()


def _strings(path: Path, line: int, item: dict[str, Any], key: str | None) -> tuple[str, ...]:
    value = _value(path, line, item, key)
    if not isinstance(value, list):
        raise DataError(f"{path}:{line}: {key!r} is {describe(value)}; write a list of strings")
    for entry in value:
        if not isinstance(entry, str):
            number = isinstance(entry, int) and not isinstance(entry, bool)
            advice = "write the tags' names, such as B-PER" if number else "write strings"
            raise DataError(f"{path}:{line}: {key!r} holds {describe(entry)}; {advice}")
    return tuple(value)


def _value(path: Path, line: int, item: dict[str, Any], key: str | None) -> Any:
    if key not in item:
        names = tuple(item)
        guessing.Header(where=f"{path}:{line}", names=names, kind="key").position(str(key))
    return item[str(key)]
