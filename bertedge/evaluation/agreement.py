"""How far two models give the same predictions of the same texts."""

from dataclasses import dataclass

import numpy as np

from bertedge import metrics
from bertedge.evaluation.run import Evaluation
from bertedge.metrics import FrameScores


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Shares from 0 to 1."""

    value: float
    """What decides: F1 of entities where words are tagged, whole frames where a text has an intent
    too, else `metrics.agreement`."""
    count: int
    """How many answers that is of: entities (of the first model), else texts."""
    texts: float | None
    """Of texts, those whose whole answer is the same; None for values and embeddings."""
    words: float | None
    """Of words (an intent counts as one), those with the same tag; None where there are no tags."""


def compare_predictions(one: Evaluation, other: Evaluation) -> Agreement:
    """Return how far two models predicted the same of the same texts."""
    share = metrics.agreement(one.predicted, other.predicted)
    if one.predicted.dtype.kind == "f":
        return Agreement(value=share, count=one.rows, texts=None, words=None)
    pairs = zip(one.answers, other.answers, strict=True)
    texts = float(np.mean([np.array_equal(*pair) for pair in pairs]))
    if not one.tags:
        return Agreement(value=share, count=one.rows, texts=texts, words=None)
    if isinstance(one.scores, FrameScores):
        return Agreement(value=texts, count=one.rows, texts=texts, words=share)
    names = np.array(one.tags)
    tags = [[names[row].tolist() for row in each.answers] for each in (one, other)]
    return Agreement(
        value=metrics.entity_agreement(*tags),
        count=count_answers(one),
        texts=texts,
        words=share,
    )


def count_answers(evaluation: Evaluation) -> int:
    """Return how many answers `Agreement.value` is a share of."""
    if not evaluation.tags or isinstance(evaluation.scores, FrameScores):
        return evaluation.rows
    names = np.array(evaluation.tags)
    tags = [names[row].tolist() for row in evaluation.answers]
    return int(metrics.entity_counts(tags, tags)[:, 0].sum())
