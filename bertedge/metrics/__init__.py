"""Scores of labels, entities, values and answers from plain arrays."""

from bertedge.metrics.agreement import agreement
from bertedge.metrics.classification import (
    ClassScores,
    Scores,
    classification_scores,
    mask_scores,
    multi_label_scores,
)
from bertedge.metrics.entities import (
    FrameScores,
    entity_agreement,
    entity_counts,
    entity_scores,
)
from bertedge.metrics.regression import (
    ValueScores,
    cosines,
    similarity_scores,
    unit,
    value_scores,
)
from bertedge.metrics.squad import AnswerScores

AnyScores = Scores | ValueScores | FrameScores | AnswerScores

__all__ = [
    "AnswerScores",
    "AnyScores",
    "ClassScores",
    "FrameScores",
    "Scores",
    "ValueScores",
    "agreement",
    "classification_scores",
    "cosines",
    "entity_agreement",
    "entity_counts",
    "entity_scores",
    "mask_scores",
    "multi_label_scores",
    "similarity_scores",
    "unit",
    "value_scores",
]
