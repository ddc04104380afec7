"""The logits of texts to scores, labels and predictions, by what the model was trained for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.metrics.calibration import DEFAULT_THRESHOLD
from bertedge.predictions import MultiLabelClassification, Regression, TextPrediction
from bertedge.runtime.decoding import Floats, classify, softmax
from bertedge.spec import DecisionRule, ProblemType


def sigmoid(logits: Floats) -> Floats:
    """Turn each logit into a probability of its own."""
    small = np.exp(-np.abs(logits))  # never overflows
    return np.asarray(np.where(logits < 0, small, 1.0) / (1.0 + small), np.float32)


def score(logits: Floats, decision: DecisionRule) -> Floats:
    """Turn `(texts, labels)` into the scores that the model gives its labels."""
    match decision.problem_type:
        case ProblemType.SINGLE_LABEL:
            return softmax(logits / np.float32(decision.temperature))
        case ProblemType.MULTI_LABEL:
            return sigmoid(logits / np.float32(decision.temperature))
        case ProblemType.REGRESSION:
            return logits


def decide(logits: Floats, decision: DecisionRule) -> NDArray[Any]:
    """Turn `(texts, labels)` into what the model says of each text.

    Label numbers `(texts,)`, out of scope being one past the last label; or which labels each
    text has, `(texts, labels)`, booleans; or values `(texts,)`.
    """
    match decision.problem_type:
        case ProblemType.SINGLE_LABEL:
            best: NDArray[Any] = logits.argmax(axis=-1)
            if decision.threshold is not None and decision.out_of_scope is not None:
                low = score(logits, decision).max(axis=-1) < decision.threshold
                best[low] = logits.shape[-1]
            return best
        case ProblemType.MULTI_LABEL:
            return score(logits, decision) >= _least(decision)
        case ProblemType.REGRESSION:
            return logits[:, 0]


def label_names(labels: Sequence[str], decision: DecisionRule) -> tuple[str, ...]:
    """Name the numbers that `decide` gives."""
    return (*labels, *(() if decision.out_of_scope is None else (decision.out_of_scope,)))


def predict_texts(
    logits: Floats, labels: Sequence[str], decision: DecisionRule
) -> Sequence[TextPrediction]:
    """Turn `(texts, labels)` into the predictions that users get."""
    match decision.problem_type:
        case ProblemType.SINGLE_LABEL:
            return classify(logits, labels, decision)
        case ProblemType.MULTI_LABEL:
            return _label_each(score(logits, decision), labels, _least(decision))
        case ProblemType.REGRESSION:
            return [Regression(value=value) for value in logits[:, 0].tolist()]


def _label_each(
    scores: Floats, labels: Sequence[str], threshold: float
) -> list[MultiLabelClassification]:
    best_first = np.argsort(-scores, axis=-1, kind="stable").tolist()
    counts = (scores >= threshold).sum(axis=-1).tolist()
    return [
        MultiLabelClassification(
            labels=tuple(labels[i] for i in order[:count]),
            scores=dict(zip(labels, row, strict=True)),
        )
        for order, count, row in zip(best_first, counts, scores.tolist(), strict=True)
    ]


def _least(decision: DecisionRule) -> float:
    return DEFAULT_THRESHOLD if decision.threshold is None else decision.threshold
