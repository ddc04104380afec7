"""JSON: one object a line, or a list of objects."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bertedge.data import guessing, spans
from bertedge.data.example import (
    Columns,
    Example,
    Reading,
    TextExample,
    TokenExample,
    check_text,
    describe,
    shorten,
)
from bertedge.data.json_rows import read_rows
from bertedge.data.questions import question_example
from bertedge.data.report import BadRows, RowReport
from bertedge.data.tags import to_iob2
from bertedge.data.targets import read_label, text_example
from bertedge.errors import DataError
from bertedge.spec import LabelKind

MOST_TAGS = 1_000_000
"""Ids of tags are below."""

Record = tuple[int, dict[str, Any]]


def resolve(reading: Reading) -> Columns:
    """Fill in the keys from the first object."""
    report = RowReport(policy=reading.columns.bad_rows)
    line, item = next(records(reading, report), (0, None))
    if item is None:
        raise DataError(f"{reading.path} is empty; give a file with at least one labelled row")
    if reading.task.labels_are is LabelKind.TAGS:
        reading = replace(reading, columns=_resolve_spans(item, reading))
    header = guessing.Header(where=f"{reading.path}:{line}", names=tuple(item), kind="key")
    return guessing.resolve_names(header, reading)


def records(reading: Reading, report: RowReport) -> Iterator[Record]:
    """Yield the objects with the lines that they begin on."""
    for line, value in read_rows(reading.path, reading.columns.encoding, report):
        if not isinstance(value, dict):
            report.skip(
                DataError(
                    f"{reading.path}:{line}: this line is {describe(value)}; write one object a "
                    'line, such as {"text": "…", "label": "…"}'
                )
            )
            continue
        yield line, spans.unwrap(value) if reading.task.labels_are is LabelKind.TAGS else value


def column(reading: Reading, name: str) -> Iterator[tuple[int, str]]:
    """Yield the line of each object with what it holds under any key, in words."""
    known = False
    for line, item in records(reading, RowReport(policy=BadRows.SKIP)):
        if not known:
            where = f"{reading.path}:{line}"
            guessing.Header(where=where, names=tuple(item), kind="key").position(name)
            known = True
        yield line, str(item.get(name, ""))


def example(reading: Reading, record: Record, report: RowReport) -> Example | None:
    """Check an object; None for one that its annotator did not accept, or an empty question."""
    line, item = record
    where = f"{reading.path}:{line}"
    columns, kind = reading.columns, reading.task.labels_are
    if kind is LabelKind.TAGS and columns.label is not None and not spans.is_accepted(item):
        report.note(spans.REJECTED)
        return None
    text, pair, label, intent = (
        None if key is None else _value(where, item, key)
        for key in (columns.text, columns.pair, columns.label, columns.intent)
    )
    match kind:
        case LabelKind.TAGS if isinstance(text, str) and not spans.is_words(label):
            words, tags = spans.to_words(where, check_text(where, text, "text"), label, report)
            return TokenExample(
                tokens=words, tags=None if columns.label is None else tags, line=line
            )
        case LabelKind.TAGS | LabelKind.INTENT_AND_TAGS:
            if kind is LabelKind.INTENT_AND_TAGS and isinstance(text, str):
                text = text.split()
            tokens = _strings(where, str(columns.text), text)
            check_text(where, "".join(tokens), "list of words")
            own = None if columns.label is None else _tags(where, tokens, label, columns)
            said = None if columns.intent is None else read_label(where, columns.intent, intent)
            return TokenExample(tokens=tokens, tags=own, line=line, intent=said)
        case LabelKind.CHOICES:
            return _choice_example(reading, record, text, pair, label)
        case LabelKind.SPANS:
            noted = None if columns.label is None else report
            return question_example(where, question=text, context=pair, answers=label, report=noted)
        case _:
            return text_example(reading, line, text, pair, label)


def _resolve_spans(item: dict[str, Any], reading: Reading) -> Columns:
    """Fill in the keys of a text and its spans, where the row has no list of words."""
    columns = reading.columns
    if columns.text is None and guessing.known(tuple(item), guessing.TOKENS):
        return columns
    if columns.text is not None and not isinstance(item.get(columns.text), str):
        return columns
    texts, labels = (guessing.known(tuple(item), names) for names in (spans.TEXTS, spans.LABELS))
    if columns.text is None and len(texts) == 1:
        columns = replace(columns, text=texts[0])
    if columns.label is None and reading.labelled and len(labels) == 1:
        columns = replace(columns, label=labels[0])
    return columns


def _tags(where: str, tokens: tuple[str, ...], value: object, columns: Columns) -> tuple[str, ...]:
    numbers = _ids(value)
    tags = numbers or _strings(where, str(columns.label), value, "the tags' names, such as B-PER")
    if len(tags) != len(tokens):
        raise DataError(
            f"{where}: {len(tokens)} words in {columns.text!r}, but {len(tags)} tags in "
            f"{columns.label!r}; give each word one tag"
        )
    return numbers or to_iob2(tags, where)


def _choice_example(
    reading: Reading, record: Record, context: object, given: object, label: object
) -> TextExample:
    """Check a context with a list of choices; or SWAG's own keys, `sent1`, `sent2`, `ending0` on.

    The label is the place of the right choice, from 0, or the right choice itself.
    """
    line, item = record
    where, key = f"{reading.path}:{line}", str(reading.columns.pair)
    if key == "ending0" and isinstance(given, str):
        names = itertools.takewhile(item.__contains__, map("ending{}".format, itertools.count()))
        begin = f"{item.get('sent2') or ''} ".lstrip()
        given = [begin + each if isinstance(each, str) else each for each in map(item.get, names)]
    choices = _strings(where, key, given)
    if len(choices) < 2:
        raise DataError(f"{where}: {key!r} holds {len(choices)} of 2 choices or more")
    for choice in choices:
        check_text(where, choice, "choice")
    found = text_example(reading, line, context, choices[0], label)
    place = found.label
    if isinstance(label, str) and label in choices:
        place = str(choices.index(label))
    if place is not None and not (place.isdecimal() and int(place) < len(choices)):
        raise DataError(
            f"{where}: the label is {shorten(place)}; give the place of the right choice, from 0 "
            f"to {len(choices) - 1}, or the choice itself"
        )
    return replace(found, label=place and str(int(place)), others=choices[1:])


def _ids(value: object) -> tuple[str, ...]:
    """Return tags that are all ids of names that the file does not hold, as the hub has them."""
    ids = value if isinstance(value, list) else []
    sound = all(type(each) is int and 0 <= each < MOST_TAGS for each in ids)
    return tuple(map(str, ids)) if sound else ()


def _strings(where: str, key: str, value: object, number: str = "strings") -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DataError(f"{where}: {key!r} is {describe(value)}; write a list of strings")
    for entry in value:
        if not isinstance(entry, str):
            wanted = number if type(entry) is int else "strings"
            raise DataError(f"{where}: {key!r} holds {describe(entry)}; write {wanted}")
    return tuple(value)


def _value(where: str, item: dict[str, Any], key: str) -> Any:
    if key not in item:
        guessing.Header(where=where, names=tuple(item), kind="key").position(key)
    return item[key]
