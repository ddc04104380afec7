"""How far two engines answer alike on the same texts."""

from dataclasses import dataclass

import numpy as np

from bertedge import metrics
from bertedge.evaluation.labelling import Labelling
from bertedge.metrics import FrameScores


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Shares from 0 to 1."""

    value: float
    """What decides: F1 of entities where words are tagged, whole frames where a text has an intent
    too, else `labelling.agreement`."""
    count: int
    """How many answers that is of: entities (of the first engine), else texts."""
    texts: float | None
    """Of texts, those whose whole answer is the same; None for values and embeddings."""
    words: float | None
    """Of words (an intent counts as one), those with the same tag; None where there are no tags."""


def compare_answers(one: Labelling, other: Labelling) -> Agreement:
    """Compare what two engines predicted of the same texts."""
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


def count_answers(labelling: Labelling) -> int:
    """Return how many answers `Agreement.value` is a share of."""
    if not labelling.tags or isinstance(labelling.scores, FrameScores):
        return labelling.rows
    names = np.array(labelling.tags)
    tags = [names[row].tolist() for row in labelling.answers]
    return int(metrics.entity_counts(tags, tags)[:, 0].sum())
