"""Questions about contexts: SQuAD's JSON as many write it, and what any JSON says of a question."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertedge.data.example import (
    Columns,
    GoldAnswer,
    QuestionExample,
    Reading,
    describe,
    first_of,
    shorten,
)
from bertedge.data.json_rows import LONGEST_DOCUMENT, check_surrogates, read_document
from bertedge.data.lines import first_line
from bertedge.data.report import RowReport
from bertedge.errors import DataError, SettingError

FORMAT = "squad"
CONTEXTS = ("context", "context_text")
QUESTIONS = ("question", "query_text")
IDS = ("id", "qid", "query_id")
ANSWERS = ("answers", "answer")
LEVELS = {"data": "article", "paragraphs": "paragraph", "qas": "question"}
"""The lists of SQuAD's document, from the outermost, and what each holds; others leave some out."""
EMPTY = "empty questions left out"
MOVED = "answers moved to the nearest place where they stand"
FIRST = "answers without answer_start, taken where they stand first"
ABSENT = "answers that do not stand in their context: scored, but not trained on"
_SHAPE = "data[].paragraphs[].{context, qas[].{id, question, answers[].{text, answer_start}}}"

Record = tuple[str, object, dict[str, Any]]
"""The place, the context and the fields of a question."""


def looks_like_document(path: Path, encoding: str | None = None) -> bool:
    """Return whether a file is SQuAD's one JSON document, not JSON lines with a question each."""
    try:
        item = json.loads(first_line(path, encoding, LONGEST_DOCUMENT))
    except (ValueError, RecursionError):  # the document goes on in the next line
        return True
    return not isinstance(item, dict) or any(name in item for name in LEVELS)


def resolve(reading: Reading) -> Columns:
    """Settle whether answers are read; SettingError where columns are asked for."""
    told = reading.columns
    bare = Columns(format=FORMAT, encoding=told.encoding, bad_rows=told.bad_rows)
    labelled = replace(bare, label="answers")
    if told not in (bare, labelled):
        raise SettingError(
            f"{reading.path} is SQuAD JSON, which names its own fields; leave columns out"
        )
    return labelled if reading.labelled else bare


def records(reading: Reading, report: RowReport) -> Iterator[Record]:
    """Yield the questions of a SQuAD file (1.1 or 2.0) in their order.

    Lists of articles, of paragraphs and of questions with their contexts are read too.
    """
    document = _parse(reading.path, reading.columns.encoding)
    if isinstance(document, list):
        document = {"data": document}
    return _leaves(document, f"{reading.path}:", None, report)


def example(reading: Reading, record: Record, report: RowReport) -> QuestionExample | None:
    """Check a question; None for one without words."""
    where, context, item = record
    check_surrogates(where, [context, item])
    return question_example(
        where,
        question=first_of(item, QUESTIONS),
        context=context,
        answers=[] if item.get("is_impossible") is True else first_of(item, ANSWERS),
        report=None if reading.columns.label is None else report,
    )


def question_example(
    where: str, *, question: object, context: object, answers: object, report: RowReport | None
) -> QuestionExample | None:
    """Check what JSON holds of one question, and of its answers if there is a `report`.

    They are SQuAD's list of objects with `text` and `answer_start`, the object of two lists that
    the Hugging Face hub has, or texts alone. An answer that does not stand at its `answer_start`
    is moved to the nearest place where it does. None for a question without words: it is counted.
    """
    for name, value in (("question", question), ("context", context)):
        if not isinstance(value, str):
            raise DataError(
                f"{where}: {name!r} must be a string, found {_found(value)}; SQuAD has {_SHAPE}"
            )
    assert isinstance(question, str)
    assert isinstance(context, str)
    if not context or context.isspace():
        raise DataError(f"{where}: the context is empty; fill it in or delete the question")
    if report is None:
        return QuestionExample(question=question, context=context, answers=None, where=where)
    if not question.strip():
        report.note(EMPTY)
        return None
    placed = tuple(_answers(answers, context, where, report))
    return QuestionExample(question=question, context=context, answers=placed, where=where)


def _leaves(
    item: object,
    where: str,
    context: object,
    report: RowReport,
    levels: tuple[str, ...] = (*LEVELS,),
) -> Iterator[Record]:
    if not isinstance(item, dict):
        report.skip(
            DataError(f"{where.rstrip(':')}: {_found(item)} is no JSON object; SQuAD has {_SHAPE}")
        )
        return
    own = first_of(item, CONTEXTS)
    context = context if own is None else own
    name = next((level for level in levels if level in item), None)
    if name is None:
        yield where, context, item
        return
    if not isinstance(item[name], list):
        found = _found(item[name])
        where = where.rstrip(":")
        report.skip(
            DataError(f"{where}: {name!r} must be a list, found {found}; SQuAD has {_SHAPE}")
        )
        return
    comma = "" if where.endswith(":") else ","
    for number, each in enumerate(item[name], 1):
        given = first_of(each, IDS) if isinstance(each, dict) and name == "qas" else None
        own_name = number if given is None else shorten(str(given))[1:-1]
        place = f"{where}{comma} {LEVELS[name]} {own_name}"
        yield from _leaves(each, place, context, report, levels[levels.index(name) + 1 :])


def _parse(path: Path, encoding: str | None) -> object:
    try:
        return json.loads(read_document(path, encoding))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}: this is not JSON ({error.msg} at character {error.colno}); "
            "give SQuAD's JSON, or JSON lines with --format jsonl"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error})") from None


def _found(value: object) -> str:
    if value is None or isinstance(value, list | dict):
        return "missing" if value is None else describe(value)
    return shorten(json.dumps(value, ensure_ascii=False))[1:-1]


def _answers(given: object, context: str, where: str, report: RowReport) -> Iterator[GoldAnswer]:
    for text, start in _listed(given, where):
        if not isinstance(text, str):
            raise DataError(f"{where}: 'text' must be a string, found {_found(text)}")
        if start is not None and (not isinstance(start, int) or isinstance(start, bool)):
            raise DataError(
                f"{where}: 'answer_start' must be a whole number, found {_found(start)}"
            )
        if text.strip():
            yield _place(text, start, context, report)
        elif start not in (None, -1):  # which many write where there is no answer
            raise DataError(f"{where}: the answer at {start} is empty; fill it in or delete it")


def _listed(given: object, where: str) -> list[tuple[object, object]]:
    """Return text and answer_start (None where it is left out) of each answer."""
    if isinstance(given, dict):
        texts, starts = given.get("text"), given.get("answer_start")
        if not isinstance(texts, list):
            return [(texts, starts)]
        starts = [None] * len(texts) if starts is None else starts
        if not isinstance(starts, list) or len(texts) != len(starts):
            found = len(starts) if isinstance(starts, list) else _found(starts)
            raise DataError(
                f"{where}: there are {len(texts)} answers, but {found} of answer_start; give each "
                "answer one, or leave them out"
            )
        return list(zip(texts, starts, strict=True))
    if isinstance(given, str):
        return [(given, None)]
    if not isinstance(given, list):
        raise DataError(
            f"{where}: the answers are {_found(given)}; give a list of objects with text and "
            "answer_start, an empty one where there is no answer"
        )
    return [
        (each.get("text"), each.get("answer_start")) if isinstance(each, dict) else (each, None)
        for each in given
    ]


def _place(text: str, start: int | None, context: str, report: RowReport) -> GoldAnswer:
    """Find where an answer stands: at `start`, else nearest to it."""
    told = max(start or 0, 0)
    if start == told and context.startswith(text, told):
        return GoldAnswer(text=text, start=told)
    after = context.find(text, told)
    before = context.rfind(text, 0, told + len(text))
    places = [place for place in (before, after) if place >= 0]
    if not places:
        report.note(ABSENT)
        return GoldAnswer(text=text, start=None)
    report.note(FIRST if start is None else MOVED)
    return GoldAnswer(text=text, start=min(places, key=lambda place: abs(place - told)))
