"""Scores of labels, entities, values and answers from plain arrays."""

from typing import TYPE_CHECKING

from bertedge.lazy import lazy_exports

if TYPE_CHECKING:
    from bertedge.metrics.baseline import Baseline
    from bertedge.metrics.classification import (
        ClassScores,
        Scores,
        classification_scores,
        mask_scores,
        multi_label_scores,
    )
    from bertedge.metrics.comparison import agreement
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
    from bertedge.metrics.scores import AnyScores
    from bertedge.metrics.squad import AnswerScores

_HOMES = {
    "baseline": ("Baseline",),
    "scores": ("AnyScores",),
    "comparison": ("agreement",),
    "classification": (
        "ClassScores",
        "Scores",
        "classification_scores",
        "mask_scores",
        "multi_label_scores",
    ),
    "entities": ("FrameScores", "entity_agreement", "entity_counts", "entity_scores"),
    "regression": ("ValueScores", "cosines", "similarity_scores", "unit", "value_scores"),
    "squad": ("AnswerScores",),
}

__all__ = [
    "AnswerScores",
    "AnyScores",
    "Baseline",
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

__getattr__ = lazy_exports(__name__, _HOMES)
