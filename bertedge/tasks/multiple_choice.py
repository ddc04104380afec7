"""A context and its choices, one of which is right: every choice has one logit, beside the context.

As `AutoModelForMultipleChoice` of transformers scores them: the rows of an input are the pairs of
its context with each choice, and a softmax over their logits tells the choices apart. The choices
of an input may be of any number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import DataError
from bertedge.predictions import MultipleChoice
from bertedge.runtime.encoding import Encoded, by_text
from bertedge.runtime.logits import Floats, softmax
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import CHOICE_LABELS, DecisionRule, ModelSpec, ProblemType, Text
from bertedge.tasks import contract
from bertedge.tasks.contract import (
    LABEL_BOUNDS,
    Judged,
    LabelledRows,
    Outputs,
    PredictOptions,
    TrainingRows,
    text_examples,
)

if TYPE_CHECKING:
    from bertedge.data import ExampleFile
    from bertedge.data.example import Example
    from bertedge.data.labels import Survey
    from bertedge.metrics import AnyScores, Baseline

AUTO_MODEL = "AutoModelForMultipleChoice"
HEADS: tuple[str, ...] = ("ForMultipleChoice",)
ONNX_TASK = "text-classification"
"""Of the graph, whose rows are pairs; Optimum's own for this task has them in groups."""
BOUNDS = LABEL_BOUNDS

check, keep, settle = contract.no_check, contract.keep_all, contract.no_options
decide, choose_threshold = contract.no_rule, contract.no_threshold


def metric(rule: DecisionRule) -> str:
    """Return the name of what `score` calls its value."""
    return "accuracy"


# Predicting.


def encode(tokenizer: Tokenizer, inputs: Sequence[Text], first: int) -> list[Encoded]:
    """Return a row for each choice, `text` being the number of its input."""
    own = [number for number, text in enumerate(inputs) for _ in text[1:]]
    rows = tokenizer.encode([(text[0], choice) for text in inputs for choice in text[1:]])
    return [replace(row, text=number) for row, number in zip(rows, own, strict=True)]


def decode(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    inputs: Sequence[Text],
    rows: Sequence[Encoded],
    logits: Sequence[Floats],
    options: PredictOptions,
) -> Iterator[MultipleChoice]:
    """Yield the best choice of each input."""
    for number, own, found in by_text(rows, logits):
        scores = softmax(np.concatenate(found))
        best = int(scores.argmax())
        yield MultipleChoice(
            choice=best,
            chosen=inputs[number][best + 1],
            score=float(scores[best]),
            scores=tuple(scores.tolist()),
            truncated=any(row.truncated for row in own),
        )


# Labelled data.


def encode_labelled(
    spec: ModelSpec, tokenizer: Tokenizer, examples: Sequence[Example], path: Path
) -> LabelledRows:
    """Tokenize contexts with their choices; gold is the number of the right one."""
    texts = text_examples(examples)
    return LabelledRows(
        rows=encode(tokenizer, [text.input for text in texts], 0),
        gold=[np.array([int(text.label or 0) for text in texts], np.int64)],
    )


def outputs(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    labelled: LabelledRows,
    logits: Sequence[NDArray[Any]],
) -> Outputs:
    """Return the number of the best choice of each example."""
    groups = list(by_text(labelled.rows, logits))
    best = [int(np.concatenate(found).argmax()) for _, _, found in groups]
    return Outputs(
        gold=labelled.gold,
        answers=[np.array(best, np.int64)],
        rows=len(examples),
        truncated=sum(any(row.truncated for row in own) for _, own, _ in groups),
    )


def judge(
    spec: ModelSpec, examples: Sequence[Example], labelled: LabelledRows, logits: Sequence[Floats]
) -> Iterator[Judged]:
    """Compare choices."""
    gold = np.concatenate(labelled.gold).tolist()
    groups = by_text(labelled.rows, logits)
    for each, right, (_, _, found) in zip(text_examples(examples), gold, groups, strict=True):
        scores = softmax(np.concatenate(found))
        best = int(scores.argmax())
        yield Judged(
            gold=each.input[right + 1],
            predicted=each.input[best + 1],
            wrong=right != best,
            score=float(scores[best]),
        )


def score(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> AnyScores:
    """Score choices, each place being a class: a model may prefer one of them."""
    from bertedge import metrics

    truth, found = np.concatenate(gold), np.concatenate(predicted)
    places = range(1 + int(max(truth.max(), found.max())))
    return metrics.classification_scores(truth, found, [str(place) for place in places])


def contributions(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    """Return each example's part of the accuracy `(examples, 2)`."""
    right = np.concatenate(gold) == np.concatenate(predicted)
    return np.stack([right, np.ones(len(right))], axis=1).astype(np.float64)


def baseline(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> Baseline:
    """Score the place where the right choice stands most often."""
    from bertedge.metrics import Baseline

    truth, found = np.concatenate(gold), np.concatenate(predicted)
    best = int(np.bincount(truth).argmax())
    return Baseline(
        answer=f"choice {best}",
        value=float((truth == best).mean()),
        always=f"choice {found[0]}" if contract.only(found) and not contract.only(truth) else None,
    )


# Training.


def labels_of(examples: ExampleFile, survey: Survey, rule: DecisionRule) -> tuple[str, ...]:
    """Check that right choices stand at several places: else the place would be learnt."""
    if len(survey.counts) < 2:
        raise DataError(
            f"{examples.path} has the right choice always at place {next(iter(survey.counts))}; "
            "training needs it at several: mix the choices"
        )
    return CHOICE_LABELS


def training_row(
    example: Example, number: dict[str, int], problem_type: ProblemType, *, scored: bool
) -> dict[str, Any] | None:
    """Return the context with its choices, and the place of the right one."""
    (text,) = text_examples([example])
    return {"texts": list(text.input), "label": int(text.label or 0)}


def encode_training(
    tokenizer: Tokenizer, batch: dict[str, list[Any]], numbers: Sequence[int]
) -> TrainingRows:
    """Tokenize choices in groups; the labels of each are the right one's place and their number."""
    inputs = [tuple(texts) for texts in batch["texts"]]
    groups = [len(texts) - 1 for texts in inputs]
    labels = [list(each) for each in zip(batch["label"], groups, strict=True)]
    return TrainingRows(rows=encode(tokenizer, inputs, 0), labels=labels, groups=groups)


def training_scores(
    spec: ModelSpec, gold: NDArray[Any], logits: Any, dev: tuple[Tokenizer, ExampleFile]
) -> AnyScores:
    """Score logits `(examples, choices)`, of which the first are real."""
    real = np.arange(logits.shape[1]) < gold[:, 1:]
    return score(spec, [gold[:, 0]], [np.where(real, logits, -np.inf).argmax(axis=1)])
