"""JSON lines: one object a line."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertedge.errors import DataError
from bertedge.examples import guessing
from bertedge.examples.example import (
    Columns,
    Example,
    QuestionExample,
    Request,
    TextExample,
    TokenExample,
    check_text,
    shorten,
)
from bertedge.examples.lines import check_surrogates, read_lines
from bertedge.examples.questions import question_example
from bertedge.examples.tags import TagError, to_iob2
from bertedge.examples.targets import Place, Target, of_json
from bertedge.tasks import ProblemType, Task

_TYPES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


def resolve(path: Path, columns: Columns, request: Request) -> Columns:
    """Fill in the keys from the first object."""
    for line, item in _objects(path, columns.encoding):
        header = guessing.Header(where=f"{path}:{line}", names=tuple(item), kind="key")
        return guessing.resolve_names(header, columns, request)
    raise DataError(f"{path} is empty; give a file with at least one labelled row")


def read(path: Path, columns: Columns, task: Task, problem_type: ProblemType) -> Iterator[Example]:
    """Yield the examples; `columns` comes from `resolve`."""
    for line, item in _objects(path, columns.encoding):
        match task:
            case Task.TEXT_CLASSIFICATION:
                place = Place(
                    path=path,
                    line=line,
                    problem_type=problem_type,
                    separator=columns.label_separator,
                )
                yield _text_example(place, item, columns)
            case Task.TOKEN_CLASSIFICATION:
                yield _token_example(path, line, item, columns)
            case Task.INTENT_SLOTS:
                yield _intent_example(path, line, item, columns)
            case Task.QUESTION_ANSWERING:
                yield _question_example(path, line, item, columns)


def _objects(path: Path, encoding: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, text in read_lines(path, encoding):
        if not text.strip():
            continue
        try:
            item = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}:{line}: this line is not JSON ({error.msg} at character {error.pos + 1})"
                f"{_hint(line, text)}"
            ) from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{line}: this line cannot be read as JSON ({error})") from None
        if not isinstance(item, dict):
            raise DataError(
                f"{path}:{line}: this line is {_kind(item)}; write one object a line, "
                'such as {"text": "…", "label": "…"}'
            )
        if "\\u" in text:
            check_surrogates(f"{path}:{line}", item)
        yield line, item


def _hint(line: int, text: str) -> str:
    if line == 1 and text.strip() in ("[", "{", "[{"):
        return "; the file looks like one JSON document: write one object a line"
    return "; write one object a line"


def _text_example(place: Place, item: dict[str, Any], columns: Columns) -> TextExample:
    path, line = place.path, place.line

    def text(key: str | None, what: str) -> str:
        value = _value(path, line, item, key)
        if not isinstance(value, str):
            raise DataError(f"{path}:{line}: {key!r} is {_kind(value)}; the {what} is a string")
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
    tags = _strings(path, line, item, columns.label)
    if len(tags) != len(tokens):
        raise DataError(
            f"{path}:{line}: {len(tokens)} words in {columns.text!r}, but {len(tags)} tags in "
            f"{columns.label!r}; give each word one tag"
        )
    try:
        return TokenExample(tokens=tokens, tags=to_iob2(tags), line=line)
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
    path: Path, line: int, item: dict[str, Any], columns: Columns
) -> QuestionExample:
    where = f"{path}:{line}"
    given = None if columns.label is None else _value(path, line, item, columns.label)
    return question_example(
        where,
        question=_value(path, line, item, columns.text),
        context=_value(path, line, item, columns.pair),
        answers=given,
        labelled=columns.label is not None,
    )


def _strings(path: Path, line: int, item: dict[str, Any], key: str | None) -> tuple[str, ...]:
    value = _value(path, line, item, key)
    if not isinstance(value, list):
        raise DataError(f"{path}:{line}: {key!r} is {_kind(value)}; write a list of strings")
    for entry in value:
        if not isinstance(entry, str):
            number = isinstance(entry, int) and not isinstance(entry, bool)
            advice = "write the tags' names, such as B-PER" if number else "write strings"
            raise DataError(f"{path}:{line}: {key!r} holds {_kind(entry)}; {advice}")
    return tuple(value)


def _value(path: Path, line: int, item: dict[str, Any], key: str | None) -> Any:
    if key not in item:
        names = tuple(item)
        guessing.Header(where=f"{path}:{line}", names=names, kind="key").position(str(key))
    return item[str(key)]


def _kind(value: object) -> str:
    return _TYPES.get(type(value)) or f"the number {shorten(str(value))[1:-1]}"
