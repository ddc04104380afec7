"""Questions about contexts, answered by spans of these.

Candidates, scores and their order are those of `QuestionAnsweringPipeline` of transformers 4.57,
but for candidates of score 0, which it lists where it has no others.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bertedge.errors import DataError
from bertedge.predictions import Answer, Answers
from bertedge.runtime.encoding import Encoded, by_text
from bertedge.runtime.logits import Floats
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import SPAN_LABELS, DecisionRule, ModelSpec, ProblemType, Text
from bertedge.tasks import contract
from bertedge.tasks.contract import (
    AgreementBounds,
    Judged,
    LabelledRows,
    Outputs,
    PartialEvaluation,
    PredictOptions,
    TrainingRows,
    no_aggregation,
    settle_top_k,
)

if TYPE_CHECKING:
    from bertedge.data import ExampleFile
    from bertedge.data.example import Example, QuestionExample
    from bertedge.data.labels import Survey
    from bertedge.metrics import AnswerScores, Baseline

Ints = NDArray[np.int64]

AUTO_MODEL = "AutoModelForQuestionAnswering"
HEADS: tuple[str, ...] = ("ForQuestionAnswering",)
ONNX_TASK = "token-classification"
BOUNDS = AgreementBounds(good=0.98, least=0.9, unit="answers")
"""An answer is one span of hundreds, and one token more or less is another: on 1,549 questions of
SQuAD 95.4 % of the same spans cost 0.3 points of F1, 85.7 % cost 1.1 (MiniLM)."""

LONGEST_ANSWER = 15
"""Tokens."""
MOST_LOST = 0.01
"""Share of questions without an answer in their context that is left out without being asked."""
CHUNK = 256
"""Questions whose windows `training_scores` holds at a time."""

check, keep = contract.no_check, contract.keep_all


def metric(rule: DecisionRule) -> str:
    """Return the name of what `score` calls its value."""
    return "answer_f1"


# Predicting.


def settle(options: PredictOptions) -> PredictOptions:
    """Default to one answer a question; SettingError for an aggregation."""
    no_aggregation(options)
    return PredictOptions(top_k=settle_top_k(options, 1))


def encode(tokenizer: Tokenizer, inputs: Sequence[Text], first: int) -> list[Encoded]:
    """Return the windows over the context of each question."""
    return tokenizer.encode_questions([(text[0], text[1]) for text in inputs])


def decode(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    inputs: Sequence[Text],
    rows: Sequence[Encoded],
    logits: Sequence[Floats],
    options: PredictOptions,
) -> Iterator[Answers]:
    """Yield the answers to each question."""
    contexts = [text[1] for text in inputs]
    yield from answer_each(contexts, rows, logits, spec.rule, top_k=options.top_k or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spans:
    """Candidates of one window, best first; every array has one entry a candidate."""

    start: Ints
    """First character."""
    end: Ints
    """One past the last character."""
    score: Floats
    no_answer: float


def find_answers(
    context: str,
    windows: Sequence[Encoded],
    logits: Sequence[Floats],
    rule: DecisionRule,
    *,
    top_k: int = 1,
) -> Answers:
    """Return the answers to one question from the logits `(sequence, 2)` of each of its windows.

    The scores of spans with the same words, in whatever case, add up at the place that is met
    first.
    """
    found: dict[str, Answer] = {}
    no_answer = 1.0
    for window, own in zip(windows, logits, strict=True):
        # So many, because several may come to lie on the same words.
        spans = _spans(window, own, 2 * top_k + 10)
        no_answer = min(no_answer, spans.no_answer)
        columns = (spans.start.tolist(), spans.end.tolist(), spans.score.tolist())
        for start, end, score in zip(*columns, strict=True):
            text = context[start:end]
            first = found.get(text.lower(), Answer(text=text, start=start, end=end, score=0.0))
            found[text.lower()] = replace(first, score=first.score + score)
    best = sorted(found.values(), key=lambda answer: -answer.score)[:top_k]
    least = rule.threshold
    none = not best or (least is not None and no_answer - best[0].score > least)
    return Answers(
        answer=None if none else best[0],
        answers=tuple(best),
        no_answer=no_answer,
        windows=len(windows),
        truncated=any(window.truncated for window in windows),
    )


def answer_each(
    contexts: Sequence[str],
    windows: Sequence[Encoded],
    logits: Sequence[Floats],
    rule: DecisionRule,
    *,
    top_k: int = 1,
) -> Iterator[Answers]:
    """Yield the answers to questions about several contexts, whose windows come in turn."""
    for number, own, answered in by_text(windows, logits):
        yield find_answers(contexts[number], own, answered, rule, top_k=top_k)


def _spans(window: Encoded, logits: Floats, count: int) -> _Spans:
    """Return the `count` likeliest spans of a window, widened to whole words."""
    content = np.arange(len(window.ids))[window.content]
    # The first token stands for "no answer": it has its share of the probability.
    raised = logits[np.append(0, content)].astype(np.float32)
    raised = np.exp(raised - raised.max(axis=0))
    starts, ends = (raised / raised.sum(axis=0)).T
    no_answer = float(starts[0] * ends[0])
    padded = np.append(ends[1:], np.zeros(LONGEST_ANSWER, np.float32))
    scores = starts[1:, None] * sliding_window_view(padded, LONGEST_ANSWER)[: len(content)]
    flat = scores.ravel()
    best = np.argpartition(-flat, count)[:count] if len(flat) > count else np.arange(len(flat))
    best = best[np.argsort(-flat[best])]
    best = best[flat[best] > 0]
    first, length = np.divmod(best, LONGEST_ANSWER)
    begin, end = _words(window)
    return _Spans(
        start=begin[first], end=end[first + length], score=flat[best], no_answer=no_answer
    )


def _words(window: Encoded) -> tuple[Ints, Ints]:
    """Return where the word of each token of the content begins and ends, in characters.

    Only the part of a word that lies in the window counts; a token without a word is its own.
    """
    words = window.word_ids[window.content]
    offsets = window.offsets[window.content]
    tokens = np.arange(len(words))
    changes = (words[1:] != words[:-1]) | (words[1:] < 0)
    first = np.maximum.accumulate(np.where(np.append(True, changes)[: len(words)], tokens, 0))
    is_last = np.append(changes, True)[: len(words)]
    last = np.minimum.accumulate(np.where(is_last, tokens, len(words))[::-1])[::-1]
    return offsets[first, 0], offsets[last, 1]


# Labelled data.


def encode_labelled(
    spec: ModelSpec, tokenizer: Tokenizer, examples: Sequence[Example], path: Path
) -> LabelledRows:
    """Tokenize questions; what is right of them is part of the outputs."""
    inputs = [question.input for question in _questions(examples)]
    return LabelledRows(rows=tokenizer.encode_questions(inputs), gold=())


def outputs(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    labelled: LabelledRows,
    logits: Sequence[NDArray[Any]],
) -> Outputs:
    """Grade the best answers: both arrays are one of `metrics.squad.FOUND`, a row a question."""
    from bertedge.metrics.squad import FOUND

    questions = _questions(examples)
    found = np.zeros(len(questions), FOUND)
    truncated = 0
    contexts = [each.context for each in questions]
    answered = answer_each(contexts, labelled.rows, logits, DecisionRule())
    for number, (question, answers) in enumerate(zip(questions, answered, strict=True)):
        found[number] = grade(answers, question.gold)
        truncated += answers.truncated
    return Outputs(gold=[found], answers=[found], rows=len(questions), truncated=truncated)


def judge(
    spec: ModelSpec, examples: Sequence[Example], labelled: LabelledRows, logits: Sequence[Floats]
) -> Iterator[Judged]:
    """Compare answers: one that matches no right one exactly is wrong, "" being none at all."""
    from bertedge.metrics.squad import exact_match

    questions = _questions(examples)
    contexts = [each.context for each in questions]
    answered = answer_each(contexts, labelled.rows, logits, spec.rule)
    for question, answers in zip(questions, answered, strict=True):
        best = answers.answer
        said = best.text if best else ""
        yield Judged(
            gold=" | ".join(dict.fromkeys(question.gold)),
            predicted=said,
            wrong=not exact_match(said, question.gold),
            score=min(best.score if best else answers.no_answer, 1.0),
        )


def grade(answers: Answers, gold: Sequence[str]) -> tuple[Any, ...]:
    """Return the record of the best answer, whatever is decided on it, as `metrics.squad.FOUND`."""
    from bertedge.metrics.squad import NO_SPAN, exact_match, f1

    best = next(iter(answers.answers), None)
    text = best.text if best else ""
    place = (best.start, best.end) if best else NO_SPAN
    margin = answers.no_answer - (best.score if best else 0.0)
    return (*place, exact_match(text, gold), f1(text, gold), margin, not gold)


def decide(spec: ModelSpec, outputs: Outputs) -> PartialEvaluation:
    """Decide which questions have no answer; predicted are spans."""
    from bertedge.metrics.squad import decide as decide_spans

    found = np.concatenate(outputs.answers)
    return PartialEvaluation(
        gold=[found],
        predicted=[decide_spans(found, spec.rule.threshold)],
        rows=outputs.rows,
        truncated=outputs.truncated,
    )


def score(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> AnswerScores:
    """Score graded answers at the rule's threshold."""
    from bertedge.metrics.squad import score_answers

    return score_answers(np.concatenate(gold), spec.rule.threshold)


def contributions(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    """Return the F1 of each question, and 1 `(questions, 2)`."""
    from bertedge.metrics.squad import answer_overlap

    overlap = answer_overlap(np.concatenate(gold), spec.rule.threshold)
    return np.stack([overlap, np.ones(len(overlap))], axis=1)


def baseline(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> Baseline:
    """Score giving no answer."""
    from bertedge.metrics import Baseline

    impossible = np.concatenate(gold)["impossible"]
    silent = bool((np.concatenate(predicted)["start"] < 0).all())
    none = "no answer"
    return Baseline(
        answer=none,
        value=float(impossible.mean()),
        always=none if silent and not impossible.all() else None,
    )


def choose_threshold(rule: DecisionRule, outputs: Outputs) -> DecisionRule:
    """Choose when a question has no answer, where that occurs in the data."""
    from bertedge.metrics.squad import best_threshold

    return replace(rule, threshold=best_threshold(np.concatenate(outputs.answers)))


def _questions(examples: Sequence[Example]) -> list[QuestionExample]:
    from bertedge.data.example import QuestionExample  # predicting needs none

    return [each for each in examples if isinstance(each, QuestionExample)]


# Training.


def labels_of(examples: ExampleFile, survey: Survey, rule: DecisionRule) -> tuple[str, ...]:
    """Check that answers stand in their contexts; some may not, which are not trained on."""
    from bertedge.data import BadRows
    from bertedge.data.example import QuestionExample  # predicting needs none

    rows = placed = lost = 0
    first = ""
    for each in examples:
        assert isinstance(each, QuestionExample)
        rows += 1
        placed += each.placed is not None
        if each.answers and not each.placed:
            lost += 1
            first = first or each.where
    if not placed:
        raise DataError(
            f"{examples.path} has no question with an answer in its context; training needs some"
        )
    if examples.columns.bad_rows is BadRows.ERROR and lost > MOST_LOST * rows:
        raise DataError(
            f"{first}: no answer stands in the context, as in {lost:,} of {rows:,} questions "
            f"({lost / rows:.1%}); fix them, or leave them out with --bad-rows skip"
        )
    return SPAN_LABELS


def training_row(
    example: Example, number: dict[str, int], problem_type: ProblemType, *, scored: bool
) -> dict[str, Any] | None:
    """Return question, context and the first answer that stands in it.

    A question whose answers do not is left out, unless it is to be scored.
    """
    from bertedge.data.example import QuestionExample  # predicting needs none

    assert isinstance(example, QuestionExample)
    row = {"question": example.question, "context": example.context}
    answer = example.placed  # a model is trained on one answer a question
    if answer is not None and answer.start is not None:
        return row | {"start": answer.start, "end": answer.start + len(answer.text)}
    return row | {"start": -1, "end": -1} if scored or not example.answers else None


def encode_training(
    tokenizer: Tokenizer, batch: dict[str, list[Any]], numbers: Sequence[int]
) -> TrainingRows:
    """Tokenize windows; the labels of each are four numbers.

    The first and the last token of the answer (0, [CLS], where not all of it is there), the number
    of the question, and the place of the window's first token in the context.
    """
    pairs = zip(batch["question"], batch["context"], strict=True)
    windows = tokenizer.encode_questions(list(pairs))
    spans = list(zip(batch["start"], batch["end"], strict=True))
    labels = [[*find_span(row, *spans[row.text]), numbers[row.text], row.first] for row in windows]
    return TrainingRows(rows=windows, labels=labels)


def find_span(row: Encoded, start: int, end: int) -> tuple[int, int]:
    """Return the first and the last token of the characters `start` to `end` in a window.

    (0, 0), the place of [CLS], where the window does not hold them all.
    """
    offsets = row.offsets[row.content]
    if start < 0 or not len(offsets) or start < offsets[0, 0] or end > offsets[-1, 1]:
        return 0, 0
    first = int(np.searchsorted(offsets[:, 1], start, "right"))
    last = int(np.searchsorted(offsets[:, 0], end, "left")) - 1
    return (row.content.start + first, row.content.start + last) if first <= last else (0, 0)


def training_scores(
    spec: ModelSpec, gold: NDArray[Any], logits: Any, dev: tuple[Tokenizer, ExampleFile]
) -> AnswerScores:
    """Grade the windows in the order of the file, with the threshold that they choose."""
    from bertedge.metrics.squad import best_threshold, score_answers

    order = np.lexsort((gold[:, 3], gold[:, 2]))  # Trainer sorts windows by length
    found = grade_file(spec, *dev, np.stack(logits, axis=-1)[order])
    return score_answers(found, best_threshold(found))


def grade_file(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    examples: ExampleFile,
    logits: Sequence[Floats] | NDArray[Any],
) -> NDArray[Any]:
    """Grade the logits of all windows of a file in turn, which may be padded."""
    parts = []
    place = 0
    iterator = iter(examples)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        labelled = encode_labelled(spec, tokenizer, chunk, examples.path)
        own = list(logits[place : place + len(labelled.rows)])
        parts.append(outputs(spec, tokenizer, chunk, labelled, own).answers[0])
        place += len(labelled.rows)
    return np.concatenate(parts)
