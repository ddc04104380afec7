"""Questions about contexts: SQuAD's own JSON, and what any JSON says of a question."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertedge.errors import DataError, SettingError
from bertedge.examples.example import Columns, GoldAnswer, QuestionExample, Request, shorten
from bertedge.examples.lines import check_surrogates, read_lines

FORMAT = "squad"


def looks_like_document(path: Path) -> bool:
    """Tell SQuAD's one JSON document from JSON lines with a question each."""
    first = next((line for _, line in read_lines(path) if line.strip()), "")
    try:
        item = json.loads(first)
    except (ValueError, RecursionError):  # the document goes on in the next line
        return True
    return not isinstance(item, dict) or "data" in item


def resolve(path: Path, columns: Columns, request: Request) -> Columns:
    """Settle whether answers are read; SettingError where columns are asked for."""
    settled = Columns(format=FORMAT, label="answers" if request.labelled else None)
    if columns not in (settled, Columns(format=FORMAT), Columns(format=FORMAT, label="answers")):
        raise SettingError(f"{path} is SQuAD JSON, which names its own fields; leave columns out")
    return settled


def read(path: Path, *, labelled: bool) -> Iterator[QuestionExample]:
    """Yield the questions of a SQuAD file (1.1 or 2.0) in their order."""
    for context, where, qa in _questions(path):
        question = _field(qa, "question", str, where)
        yield question_example(
            where,
            question=question,
            context=context,
            answers=[] if qa.get("is_impossible") is True else qa.get("answers"),
            labelled=labelled,
        )


def question_example(
    where: str, *, question: object, context: object, answers: object, labelled: bool
) -> QuestionExample:
    """Check what JSON holds of one question, and of its answers if `labelled`.

    They are SQuAD's list of objects with `text` and `answer_start`, or the object of two lists
    that the Hugging Face hub has.
    """
    if not isinstance(question, str) or not isinstance(context, str):
        raise DataError(f"{where}: question and context must be strings; mend or delete it")
    if not context or context.isspace():
        raise DataError(f"{where}: the context is empty; fill it in or delete the question")
    return QuestionExample(
        question=question,
        context=context,
        answers=tuple(_answers(answers, context, where)) if labelled else None,
        where=where,
    )


def _questions(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give the context, the place and the fields of each question."""
    document = _parse(path)
    for i, article in enumerate(_field(document, "data", list, str(path)), 1):
        in_article = f"{path}: article {i}"
        for j, paragraph in enumerate(_field(article, "paragraphs", list, in_article), 1):
            in_paragraph = f"{in_article}, paragraph {j}"
            context = _field(paragraph, "context", str, in_paragraph)
            check_surrogates(in_paragraph, paragraph)
            for k, qa in enumerate(_field(paragraph, "qas", list, in_paragraph), 1):
                name = qa.get("id") if isinstance(qa, dict) else None
                yield context, f"{in_paragraph}, question {name or k}", qa


def _parse(path: Path) -> object:
    text = "".join(line for _, line in read_lines(path))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}: this is not JSON ({error.msg} at character {error.colno}); "
            "give SQuAD's JSON, or JSON lines with --format jsonl"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error})") from None


def _field(item: object, name: str, kind: type, where: str) -> Any:
    value = item.get(name) if isinstance(item, dict) else None
    if not isinstance(value, kind):
        wanted = {list: "a list", str: "a string", int: "a whole number"}[kind]
        raise DataError(
            f"{where}: {name!r} must be {wanted}, found {_found(value)}; SQuAD has "
            "data[].paragraphs[].{context, qas[].{id, question, answers[].{text, answer_start}}}"
        )
    return value


def _found(value: object) -> str:
    return "missing" if value is None else shorten(json.dumps(value, ensure_ascii=False))[1:-1]


def _answers(given: object, context: str, where: str) -> Iterator[GoldAnswer]:
    if isinstance(given, dict):
        texts, starts = (_field(given, name, list, where) for name in ("text", "answer_start"))
        if len(texts) != len(starts):
            raise DataError(
                f"{where}: there are {len(texts)} answers, but {len(starts)} of answer_start; "
                "give each answer one"
            )
        pairs = zip(texts, starts, strict=True)
        given = [{"text": text, "answer_start": start} for text, start in pairs]
    if not isinstance(given, list):
        raise DataError(
            f"{where}: the answers are {_found(given)}; give a list of objects with text and "
            "answer_start, an empty one where there is no answer"
        )
    for each in given:
        text, start = _field(each, "text", str, where), _field(each, "answer_start", int, where)
        there = context[max(start, 0) : max(start, 0) + len(text)]
        if start < 0 or there != text or not text.strip():
            raise DataError(
                f"{where}: answer_start {start} does not point at the answer {shorten(text)}: "
                f"there stands {shorten(there)}; count characters of the context from 0"
            )
        yield GoldAnswer(text=text, start=start)
