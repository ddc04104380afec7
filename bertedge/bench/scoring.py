"""Predictions of engines: how far two engines' agree, and what they are worth on labelled texts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.bench.protocol import Output
from bertedge.bench.report import Agreement
from bertedge.bench.workloads import LabelledTexts
from bertedge.data import QuestionExample, TokenExample
from bertedge.joint_labels import intent_label
from bertedge.metrics import AnyScores, cosines, entity_counts
from bertedge.metrics.squad import FOUND
from bertedge.predictions import (
    Answers,
    Classification,
    Embedding,
    Entities,
    IntentSlots,
    MultiLabelClassification,
)
from bertedge.spec import OUTSIDE, ModelSpec
from bertedge.tasks import task_module
from bertedge.tasks.question_answering import grade

Words = Sequence[int]
"""Where the words of a text begin, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What an engine's predictions came to."""

    scores: AnyScores
    parts: NDArray[np.float64]
    """What each text adds to the numerator and the denominator of the metric `(texts, 2)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """What of two engines' outputs is the same, added up over workloads."""

    labels: tuple[float, ...] = ()
    """Of each text, tagged word or random token, 1 or 0; of each embedding the cosine."""
    texts: tuple[bool, ...] = ()
    """Of each text with tags, whether its whole list of entities, and its intent, is the same."""

    def __add__(self, other: "Same") -> "Same":
        """Return both."""
        return Same(labels=self.labels + other.labels, texts=self.texts + other.texts)

    def agreement(self) -> Agreement | None:
        """Return the shares; None where there was nothing to compare."""
        if not self.labels:
            return None
        return Agreement(
            share=float(np.mean(self.labels)),
            labels=len(self.labels),
            texts=float(np.mean(self.texts)) if self.texts else None,
        )


def compare(
    ours: Sequence[Output], theirs: Sequence[Output], texts: Sequence[tuple[str, ...]] = ()
) -> Same:
    """Compare the outputs of two engines; a wrong number of them agrees on none.

    `texts` are what was predicted, empty for random tokens. Values are not compared.
    """
    given: Sequence[Output | None] = ours if len(ours) == len(theirs) else [None] * len(theirs)
    starts: list[Words] = [word_starts(text[-1]) for text in texts] or [()] * len(theirs)
    pairs = zip(given, theirs, starts, strict=True) if len(starts) == len(theirs) else ()
    return sum((_compare(*pair) for pair in pairs), Same())


def word_starts(text: str) -> list[int]:
    """Return where each word of a text begins."""
    return [found.start() for found in re.finditer(r"\S+", text)]


def word_tags(starts: Words, prediction: Entities | IntentSlots) -> list[str]:
    """Return the tag of each word: that of its first token."""
    tokens = prediction.slots if isinstance(prediction, IntentSlots) else prediction.entities
    return [
        next((each.label for each in tokens if each.start <= start < each.end), OUTSIDE)
        for start in starts
    ]


def score(
    labelled: LabelledTexts, outputs: Sequence[Output], labels: tuple[str, ...]
) -> Scored | None:
    """Score predictions; None where they are too few, or name labels that the model has not."""
    if len(outputs) != len(labelled.examples):
        return None
    first, examples = outputs[0], labelled.examples
    rows: list[NDArray[Any]]
    gold: list[NDArray[Any]]
    if isinstance(first, Answers):
        graded = [
            grade(each, example.gold)
            for each, example in zip(outputs, examples, strict=True)
            if isinstance(each, Answers) and isinstance(example, QuestionExample)
        ]
        rows = gold = [np.array(graded, FOUND)]
    else:
        ids = {name: number for number, name in enumerate(labels)}
        try:
            rows = [
                np.array([ids[name] for name in _names(each, example)])
                for each, example in zip(outputs, examples, strict=True)
            ]
        except KeyError:
            return None
        if isinstance(first, Entities):  # a type of entity that the model has not is just missed
            labels += tuple({name for each in examples for name in each.names if name not in ids})
            ids = {name: number for number, name in enumerate(labels)}
        gold = [np.array([ids.get(name, -1) for name in example.names]) for example in examples]
    spec = ModelSpec(task=labelled.task, labels=labels, pair=False, max_length=0, pad_token_id=0)
    task = task_module(spec.task)
    scores, per_text = task.score(spec, gold, rows), task.contributions(spec, gold, rows)
    assert scores is not None and per_text is not None
    return Scored(scores=scores, parts=per_text)


def _names(output: Output, example: object) -> list[str]:
    """Return the labels that a prediction gives an example, as the example has its own."""
    if not isinstance(example, TokenExample):
        return [_best_label(output)]
    if not isinstance(output, Entities | IntentSlots):
        raise KeyError
    starts = np.cumsum([0, *(len(word) + 1 for word in example.tokens[:-1])]).tolist()
    whole = [intent_label(output.intent)] if isinstance(output, IntentSlots) else []
    return [*whole, *word_tags(starts, output)]


def _best_label(output: Output) -> str:
    """Return the label with the best score, whatever is decided on it."""
    if not isinstance(output, Classification | MultiLabelClassification):
        raise KeyError
    return max(output.scores, key=lambda name: output.scores[name])


def _compare(one: Output | None, other: Output, starts: Words) -> Same:
    match other:
        case int():
            return Same(labels=(float(one == other),))
        case Classification() | MultiLabelClassification():
            if not isinstance(one, Classification | MultiLabelClassification):
                return Same(labels=(0.0,))
            return Same(labels=(float(_best_label(one) == _best_label(other)),))
        case Answers():
            return Same(labels=(float(isinstance(one, Answers) and _span(one) == _span(other)),))
        case Embedding():
            if not isinstance(one, Embedding) or one.values.shape != other.values.shape:
                return Same(labels=(0.0,))
            return Same(labels=(float(cosines(one.values[None], other.values[None])[0]),))
        case Entities() | IntentSlots():
            return _compare_tags(one, other, starts)
    return Same()


def _compare_tags(one: Output | None, other: Entities | IntentSlots, starts: Words) -> Same:
    intents = [isinstance(other, IntentSlots)] if isinstance(other, IntentSlots) else []
    if type(one) is not type(other):
        return Same(labels=(0.0,) * (len(intents) + len(starts)), texts=(False,))
    assert isinstance(one, Entities | IntentSlots)
    ours, theirs = word_tags(starts, one), word_tags(starts, other)
    if isinstance(one, IntentSlots) and isinstance(other, IntentSlots):
        intents = [one.intent == other.intent]
    (counts,) = entity_counts([ours], [theirs])
    same_list = bool((counts == counts[0]).all()) and all(intents)
    words = [mine == their for mine, their in zip(ours, theirs, strict=True)]
    return Same(labels=tuple(map(float, [*intents, *words])), texts=(same_list,))


def _span(prediction: Answers) -> tuple[int, int] | None:
    best = next(iter(prediction.answers), None)
    return (best.start, best.end) if best else None
