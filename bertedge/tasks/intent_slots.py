"""What a text asks for, and the details it gives: an intent, and a tag a word, in one run.

The labels are `bertedge.joint_labels`; logits of intents are read at the first token ([CLS]).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import BundleError, DataError
from bertedge.joint_labels import PREFIX, best_labels, has_intents, intent_label, split_labels
from bertedge.predictions import IntentSlots
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.logits import Floats
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import (
    OUTSIDE,
    Aggregation,
    DecisionRule,
    LabelKind,
    ModelSpec,
    Task,
    Text,
)
from bertedge.tasks import contract
from bertedge.tasks import token_classification as tagging
from bertedge.tasks.contract import (
    LABEL_BOUNDS,
    Judged,
    LabelledRows,
    Outputs,
    PredictOptions,
    TrainingRows,
)
from bertedge.tasks.judged_tags import judge_tags
from bertedge.tasks.text_classification import classify

if TYPE_CHECKING:
    from bertedge.data import ExampleFile
    from bertedge.data.example import Example
    from bertedge.data.labels import Survey
    from bertedge.metrics import Baseline, FrameScores

AUTO_MODEL = tagging.AUTO_MODEL
HEADS: tuple[str, ...] = ()
"""Its architecture is a token classifier's: its labels tell it apart."""
ONNX_TASK = tagging.ONNX_TASK
BOUNDS = LABEL_BOUNDS


def metric(rule: DecisionRule) -> str:
    """Return the name of what `score` calls its value."""
    return "frame_accuracy"


def check(spec: ModelSpec, tokenizer: Tokenizer) -> None:
    """Raise BundleError where labels are not intents first and tags after them."""
    try:
        split_labels(spec.labels)
    except ValueError as error:
        raise BundleError(f"{error}; export the model again") from None


# Predicting.


settle, encode = tagging.settle, tagging.encode
keep, decide, choose_threshold = contract.keep_all, contract.no_rule, contract.no_threshold


def decode(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    inputs: Sequence[Text],
    rows: Sequence[Encoded],
    logits: Sequence[Floats],
    options: PredictOptions,
) -> Iterator[IntentSlots]:
    """Yield the intent of each text, that of its first window, and its slots."""
    joint = split_labels(spec.labels)
    assert isinstance(options.aggregation, Aggregation)
    at_first = [
        found[0, joint.intent_columns]
        for row, found in zip(rows, logits, strict=True)
        if row.first == 0
    ]
    intents = classify(np.stack(at_first), joint.intents)
    texts, tags = cast("Sequence[str]", inputs), tagging.split_tags(joint.tags)
    of_tags = [found[:, joint.tag_columns] for found in logits]
    slots = tagging.entities_of(tokenizer, texts, rows, of_tags, tags, options.aggregation)
    for intent, found in zip(intents, slots, strict=True):
        yield IntentSlots(
            intent=intent.label,
            score=intent.score,
            scores=intent.scores,
            slots=found.entities,
            windows=found.windows,
        )


# Labelled data.


def encode_labelled(
    spec: ModelSpec, tokenizer: Tokenizer, examples: Sequence[Example], path: Path
) -> LabelledRows:
    """Tokenize words; gold is an array a text, the intent before its words' tags."""
    joint = split_labels(spec.labels)
    return LabelledRows(
        rows=tokenizer.encode_words(tagging.words_of(examples)),
        gold=tagging.gold_labels(spec.labels, examples, path),
        keep=lambda _, logits: best_labels(logits, joint),
    )


def outputs(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    labelled: LabelledRows,
    logits: Sequence[NDArray[Any]],
) -> Outputs:
    """Return the intent of each text, then the label of each of its words."""
    first = split_labels(spec.labels).tag_columns.start
    outside = spec.labels.index(OUTSIDE) if OUTSIDE in spec.labels else first
    words = tagging.word_labels(tagging.words_of(examples), labelled.rows, logits, outside)
    pairs = zip(labelled.rows, logits, strict=True)
    intents = [found[0] for row, found in pairs if row.first == 0]
    found = [np.append(intent, own) for intent, own in zip(intents, words, strict=True)]
    return Outputs(gold=labelled.gold, answers=found, rows=len(examples), truncated=0)


def judge(
    spec: ModelSpec, examples: Sequence[Example], labelled: LabelledRows, logits: Sequence[Floats]
) -> Iterator[Judged]:
    """Compare intents and slots; an intent that is right is left out where a slot is wrong."""
    joint, texts = split_labels(spec.labels), tagging.words_of(examples)
    at_first = [
        found[0, joint.intent_columns]
        for row, found in zip(labelled.rows, logits, strict=True)
        if row.first == 0
    ]
    intents = classify(np.stack(at_first), joint.intents)
    of_tags = [found[:, joint.tag_columns] for found in logits]
    found, scores = tagging.scored_labels(texts, labelled.rows, of_tags, joint.tags)
    for words, gold, intent, own, sure in zip(
        texts, labelled.gold, intents, found, scores, strict=True
    ):
        (said,) = tagging.tags_of(joint.tags, [own])
        right = [spec.labels[number] for number in gold]
        slots = judge_tags(words, right[1:], said, sure)
        asked = right[0].removeprefix(PREFIX)
        missed = intent.label != asked
        of_wrong = [slots.score] * slots.wrong + [intent.score] * missed
        named = missed or not slots.wrong
        yield Judged(
            gold="; ".join([asked] * named + [slots.gold] * bool(slots.gold)),
            predicted="; ".join([intent.label] * named + [slots.predicted] * bool(slots.predicted)),
            wrong=missed or slots.wrong,
            score=max(of_wrong, default=min(slots.score, intent.score)),
        )


def score(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> FrameScores:
    """Score whole frames: the intent and the tag of every word."""
    from bertedge.metrics import FrameScores, classification_scores

    truth, guess = (np.array([row[0] for row in rows]) for rows in (gold, predicted))
    tags = [[row[1:] for row in rows] for rows in (gold, predicted)]
    return FrameScores(
        metric="frame_accuracy",
        value=float(contributions(spec, gold, predicted)[:, 0].mean()),
        intents=classification_scores(truth, guess, split_labels(spec.labels).intents),
        slots=tagging.score(spec, *tags),
    )


def contributions(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    """Return for each text whether its whole frame is right, and 1 `(texts, 2)`."""
    right = [np.array_equal(*rows) for rows in zip(gold, predicted, strict=True)]
    return np.stack([right, np.ones(len(right))], axis=1).astype(float)


def baseline(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> Baseline:
    """Score the commonest intent without any slots."""
    from bertedge.metrics import Baseline

    truth, found = (np.array([row[0] for row in rows]) for rows in (gold, predicted))
    outside = spec.labels.index(OUTSIDE) if OUTSIDE in spec.labels else -1
    best = int(np.bincount(truth).argmax())
    right = [int(row[0]) == best and bool((row[1:] == outside).all()) for row in gold]
    intents = split_labels(spec.labels).intents
    return Baseline(
        answer=f"{intents[best]} without slots",
        value=float(np.mean(right)),
        always=intents[int(found[0])]
        if contract.only(found) and not contract.only(truth)
        else None,
    )


# Training.


def labels_of(examples: ExampleFile, survey: Survey, rule: DecisionRule) -> tuple[str, ...]:
    """Return the intents, then the tags; DataError where either has nothing to tell apart."""
    from bertedge.data.labels import by_value

    found = set(survey.counts)
    intents = sorted(
        (label.removeprefix(PREFIX) for label in found if has_intents((label,))), key=by_value
    )
    if len(intents) < 2:
        raise DataError(
            f"{examples.path} has only the intent {intents[0]!r}; training needs at least two, or "
            f"--task {Task.of(LabelKind.TAGS)} for slots alone"
        )
    slots = tagging.iob2_labels(examples, {name for name in found if not has_intents((name,))})
    if len(slots) < 2:
        raise DataError(
            f"{examples.path} has only the tag {OUTSIDE!r}; training needs slots, or "
            f"--task {Task.of(LabelKind.CLASSES)} for intents alone"
        )
    return (*map(intent_label, intents), *slots)


training_row = tagging.training_row


def encode_training(
    tokenizer: Tokenizer, batch: dict[str, list[Any]], numbers: Sequence[int]
) -> TrainingRows:
    """Tokenize words; the first token of the first window has the intent, words have tags."""
    rows = tokenizer.encode_words(batch["tokens"])
    names = [np.asarray(row, dtype=np.int64) for row in batch["names"]]
    labels = [tagging.piece_labels(row, names[row.text][1:]) for row in rows]
    for row, own in zip(rows, labels, strict=True):
        if row.first == 0:
            own[0] = names[row.text][0]
    return TrainingRows(rows=rows, labels=labels)


def training_scores(
    spec: ModelSpec, gold: NDArray[Any], logits: Any, dev: tuple[Tokenizer, ExampleFile]
) -> FrameScores:
    """Score texts by their first windows: later ones have no intent."""
    whole = gold[:, 0] != tagging.IGNORED
    gold, best = gold[whole], best_labels(logits[whole], split_labels(spec.labels))
    kept = gold != tagging.IGNORED
    return score(spec, tagging.select_each(gold, kept), tagging.select_each(best, kept))
