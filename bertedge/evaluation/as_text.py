"""Tagged words scored as users meet them: joined to a text, which is split at will.

`evaluate` gives the model the file's words, each with a tag. `predict` gets a text, splits it as
the tokenizer does and finds entities by character: other splits can make other entities.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bertedge.data import Example, ExampleFile, TokenExample
from bertedge.errors import SettingError
from bertedge.evaluation.run import chunks
from bertedge.joint_labels import split_labels
from bertedge.metrics import FrameScores, Scores, classification_scores, entity_scores
from bertedge.model import TextModel
from bertedge.predictions import Entities, Entity, IntentSlots, Prediction
from bertedge.progress import Progress, Silent
from bertedge.spec import OUTSIDE, LabelKind
from bertedge.unspaced import join_words

Span = tuple[int, int, str]
"""Start, end and type of an entity, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEvaluation:
    """The scores of entities by their first and last character."""

    scores: Scores | FrameScores
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """One text: a tag a character, and the intent where there is one."""

    gold: list[str]
    predicted: list[str]
    intent: str | None
    predicted_intent: str | None


def evaluate_as_text(
    model: TextModel, examples: ExampleFile, progress: Progress | None = None
) -> TextEvaluation:
    """Join the words of each example to a text, find its entities, and score them."""
    if not model.spec.task.tags_words:
        raise SettingError(f"{model.spec.task} reads texts as they are; leave --as-text out")
    began = time.perf_counter()
    found = [
        each for chunk in chunks(examples, progress or Silent()) for each in _compare(model, chunk)
    ]
    slots = entity_scores([each.gold for each in found], [each.predicted for each in found])
    scores: Scores | FrameScores = slots
    if model.spec.task.labels_are is LabelKind.INTENT_AND_TAGS:
        scores = _score_frames(split_labels(model.spec.labels).intents, found, slots)
    return TextEvaluation(scores=scores, rows=len(found), seconds=time.perf_counter() - began)


def _compare(model: TextModel, chunk: Sequence[Example]) -> list[_Compared]:
    examples = [each for each in chunk if isinstance(each, TokenExample)]
    joined = [join_words(each.tokens) for each in examples]
    return [
        _Compared(
            gold=_by_character(text, _gold_spans(example, spans)),
            predicted=_by_character(text, [(e.start, e.end, e.label) for e in _found(prediction)]),
            intent=example.intent,
            predicted_intent=getattr(prediction, "intent", None),
        )
        for (text, spans), example, prediction in zip(
            joined, examples, model.predict([text for text, _ in joined]), strict=True
        )
    ]


def _found(prediction: Prediction) -> Sequence[Entity]:
    if isinstance(prediction, IntentSlots):
        return prediction.slots
    assert isinstance(prediction, Entities)
    return prediction.entities


def _gold_spans(example: TokenExample, words: Sequence[tuple[int, int]]) -> list[Span]:
    """Turn IOB2 tags into spans; a blank word is part of none."""
    spans: list[Span] = []
    kind = ""
    for tag, (start, end) in zip(example.tags or (), words, strict=True):
        if tag == OUTSIDE:
            kind = ""
        elif tag.startswith("I-") and tag[2:] == kind:
            spans[-1] = (spans[-1][0], end, kind)
        else:
            kind = tag.split("-", 1)[-1]
            spans.append((start, end, kind))
    return spans


def _by_character(text: str, spans: Sequence[Span]) -> list[str]:
    """Return an IOB2 tag a character, so that entities are equal where their spans are."""
    tags = [OUTSIDE] * max(len(text), 1)
    for start, end, kind in spans:
        if start < end:
            tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags


def _score_frames(intents: Sequence[str], found: Sequence[_Compared], slots: Scores) -> FrameScores:
    number = {name: i for i, name in enumerate(intents)}
    gold = np.array([number[each.intent or ""] for each in found])
    guess = np.array([number[each.predicted_intent or ""] for each in found])
    right = [each.intent == each.predicted_intent and each.gold == each.predicted for each in found]
    return FrameScores(
        metric="frame_accuracy",
        value=float(np.mean(right)),
        intents=classification_scores(gold, guess, intents),
        slots=slots,
    )
