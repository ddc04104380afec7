"""Accuracy, F1 and confusion of labels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST_CONFUSION = 20
"""Labels; a larger matrix says nothing on a screen."""
Integers = NDArray[np.integer]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScores:
    """How well one label, or one type of entity, is found."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    """How often it occurs in the gold labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of a model on labelled examples, each from 0 to 1."""

    metric: str
    """"accuracy", "micro_f1" (several labels a text), "entity_f1" or "masked_accuracy": what
    `value` is."""
    value: float
    accuracy: float
    """Of texts, or of words; of whole sets of labels where a text may have several."""
    macro_precision: float
    """Macro averages run over the classes that occur, in gold or predicted labels."""
    macro_recall: float
    macro_f1: float
    classes: tuple[ClassScores, ...]
    """In the order of the labels; entity types by name."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Rows gold, columns predicted; None for entities and for more than 20 labels."""
    perplexity: float | None = None
    """Of hidden words: exp of their mean cross entropy. None for labels."""


def mask_scores(gold: Integers, predicted: Integers, entropy: NDArray[np.float64]) -> Scores:
    """Score tokens found for hidden ones `(masks,)`, of which there are too many to list."""
    accuracy = float(np.mean(gold == predicted))
    return Scores(
        metric="masked_accuracy",
        value=accuracy,
        accuracy=accuracy,
        macro_precision=0.0,
        macro_recall=0.0,
        macro_f1=0.0,
        classes=(),
        confusion=None,
        perplexity=float(np.exp(min(float(np.mean(entropy)), 700.0))),
    )


def classification_scores(gold: Integers, predicted: Integers, labels: Sequence[str]) -> Scores:
    """Score label numbers `(examples,)`; a ratio whose denominator is 0 counts as 0."""
    gold, predicted = np.asarray(gold, np.int64), np.asarray(predicted, np.int64)
    if gold.ndim != 1 or gold.shape != predicted.shape or not gold.size:
        raise ValueError(f"cannot score {predicted.shape} labels against {gold.shape}")
    count = len(labels)
    for numbers in (gold, predicted):
        if numbers.min() < 0 or numbers.max() >= count:
            raise ValueError(f"label numbers must be in 0 to {count - 1}")
    right = gold == predicted
    offered = np.bincount(predicted, minlength=count)
    support = np.bincount(gold, minlength=count)
    found = np.bincount(gold[right], minlength=count)
    confusion = None
    if count <= LARGEST_CONFUSION:
        pairs = np.bincount(gold * count + predicted, minlength=count * count)
        confusion = tuple(tuple(row) for row in pairs.reshape(count, count).tolist())
    return scores_of(
        Counts(labels=labels, found=found, predicted=offered, support=support),
        metric="accuracy",
        value=float(right.mean()),
        accuracy=float(right.mean()),
        confusion=confusion,
    )


def multi_label_scores(
    gold: NDArray[np.bool_], predicted: NDArray[np.bool_], labels: Sequence[str]
) -> Scores:
    """Score which labels each text has, `(examples, labels)`; `value` is the micro F1."""
    if gold.ndim != 2 or gold.shape != predicted.shape or gold.shape[1] != len(labels):
        raise ValueError(f"cannot score {predicted.shape} labels against {gold.shape}")
    if not len(gold):
        raise ValueError("there are no texts to score")
    found = np.count_nonzero(gold & predicted, axis=0)
    offered, support = np.count_nonzero(predicted, axis=0), np.count_nonzero(gold, axis=0)
    given = int(offered.sum() + support.sum())
    return scores_of(
        Counts(labels=labels, found=found, predicted=offered, support=support),
        metric="micro_f1",
        value=2 * int(found.sum()) / given if given else 0.0,
        accuracy=float((gold == predicted).all(axis=1).mean()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How often each label was predicted, is right, and occurs: arrays `(labels,)`."""

    labels: Sequence[str]
    found: Integers
    """In the gold labels and predicted there."""
    predicted: Integers
    support: Integers
    """In the gold labels."""


def scores_of(
    counts: Counts,
    *,
    metric: str,
    value: float,
    accuracy: float,
    confusion: tuple[tuple[int, ...], ...] | None = None,
) -> Scores:
    """Compute precision, recall and F1 of each label, and their means over labels that occur."""
    columns = (counts.found.tolist(), counts.predicted.tolist(), counts.support.tolist())
    classes = tuple(
        ClassScores(
            label=label,
            precision=right / offered if offered else 0.0,
            recall=right / there if there else 0.0,
            f1=2 * right / (offered + there) if offered + there else 0.0,
            support=there,
        )
        for label, right, offered, there in zip(counts.labels, *columns, strict=True)
    )
    occurring = [classes[i] for i in np.flatnonzero(counts.predicted + counts.support)]
    return Scores(
        metric=metric,
        value=value,
        accuracy=accuracy,
        macro_precision=_mean(each.precision for each in occurring),
        macro_recall=_mean(each.recall for each in occurring),
        macro_f1=_mean(each.f1 for each in occurring),
        classes=classes,
        confusion=confusion,
    )


def _mean(values: Iterable[float]) -> float:
    """Return the mean, 0 of none."""
    taken = list(values)
    return sum(taken) / len(taken) if taken else 0.0
