"""Predictions of engines: how far two engines' agree, and what they are worth on labelled texts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import eq
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
    MultipleChoice,
)
from bertedge.spec import OUTSIDE, ModelSpec
from bertedge.tasks import task_module
from bertedge.tasks.question_answering import grade


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
    starts = [[word.start() for word in re.finditer(r"\S+", text[-1])] for text in texts]
    if texts and len(texts) != len(theirs):
        return Same()
    same: list[float] = []
    lists = []
    for one, other, words in zip(given, theirs, starts or [[]] * len(theirs), strict=True):
        if isinstance(other, Embedding):
            alike = isinstance(one, Embedding) and one.values.shape == other.values.shape
            same.append(_cosine(one, other) if alike else 0.0)
            continue
        found, wanted = _labels(one, words), _labels(other, words)
        alike = one is not None and len(found) == len(wanted)
        same += map(float, map(eq, found, wanted)) if alike else [0.0] * len(wanted)
        if isinstance(other, Entities | IntentSlots):
            whole = int(isinstance(other, IntentSlots))
            lists.append(alike and found[:whole] == wanted[:whole])
            if lists[-1]:
                (counts,) = entity_counts([found[whole:]], [wanted[whole:]])
                lists[-1] = bool((counts == counts[0]).all())
    return Same(labels=tuple(same), texts=tuple(lists))


def score(
    labelled: LabelledTexts, outputs: Sequence[Output], labels: tuple[str, ...]
) -> Scored | None:
    """Score predictions; None where they are too few, or name labels that the model has not."""
    examples = labelled.examples
    if len(outputs) != len(examples):
        return None
    pairs = list(zip(outputs, examples, strict=True))
    rows: list[NDArray[Any]]
    gold: list[NDArray[Any]]
    if isinstance(outputs[0], Answers):
        graded = [
            grade(each, example.gold)
            for each, example in pairs
            if isinstance(each, Answers) and isinstance(example, QuestionExample)
        ]
        rows = gold = [np.array(graded, FOUND)]
    else:
        found = [_labels(each, _word_starts(example)) for each, example in pairs]
        if isinstance(outputs[0], MultipleChoice):  # whose labels are places
            named = (*found, *(example.names for example in examples))
            labels = tuple(sorted({name for names in named for name in names}, key=int))
        if not {name for names in found for name in names} <= set(labels):
            return None
        if isinstance(outputs[0], Entities):  # a type of entity that the model has not is missed
            labels += tuple({name for each in examples for name in each.names} - set(labels))
        ids: dict[Any, int] = {name: number for number, name in enumerate(labels)}
        rows = [np.array([ids[name] for name in names]) for names in found]
        gold = [np.array([ids.get(name, -1) for name in example.names]) for example in examples]
    spec = ModelSpec(task=labelled.task, labels=labels, pair=False, max_length=0, pad_token_id=0)
    task = task_module(spec.task)
    scores, per_text = task.score(spec, gold, rows), task.contributions(spec, gold, rows)
    assert scores is not None and per_text is not None
    return Scored(scores=scores, parts=per_text)


def _labels(output: Output | None, words: Sequence[int]) -> list[Any]:
    """Return what an output says: of a text its best label or answer, of a word its tag.

    `words` are where words begin, in characters; a word has the tag of its first token.
    """
    match output:
        case Classification() | MultiLabelClassification():  # whatever is decided on the scores
            return [max(output.scores, key=lambda name: output.scores[name])]
        case MultipleChoice():
            return [str(output.choice)]
        case Answers():
            return [next(((each.start, each.end) for each in output.answers), None)]
        case Entities(entities=tokens) | IntentSlots(slots=tokens):
            tags = (
                next((each.label for each in tokens if each.start <= at < each.end), OUTSIDE)
                for at in words
            )
            return [
                *([intent_label(output.intent)] if isinstance(output, IntentSlots) else []),
                *tags,
            ]
        case int():
            return [output]
    return []


def _word_starts(example: object) -> list[int]:
    tokens = example.tokens if isinstance(example, TokenExample) else ()
    return [0, *accumulate(len(word) + 1 for word in tokens[:-1])]


def _cosine(one: Any, other: Embedding) -> float:
    return float(cosines(one.values[None], other.values[None])[0])
