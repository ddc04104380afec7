"""How far scores can be believed: calibration errors, a temperature and thresholds, from arrays.

Temperature scaling and the expected calibration error are those of Guo et al., "On Calibration of
Modern Neural Networks" (2017).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Of equal width, as in the paper."""
DEFAULT_THRESHOLD = 0.5
"""Of a label among several, where no labelled data chose one."""
_RANGE = (0.05, 20.0)
"""Temperatures looked at."""

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationError:
    """Expected calibration error: how far scores are from how often labels are right."""

    raw: float
    """Of the scores at temperature 1."""
    calibrated: float
    """Of the scores at the model's temperature."""
    temperature: float
    """The model's."""


def bin_scores(scores: Floats, right: Bools) -> NDArray[np.float64]:
    """Sort scores from 0 to 1 into bins: how many, their sum, how many are right `(3, BINS)`.

    The results of several parts of the data add up.
    """
    places = np.clip(np.ceil(scores * BINS).astype(np.int64) - 1, 0, BINS - 1)
    weights = (None, scores, right)
    return np.stack([np.bincount(places, weights=w, minlength=BINS) for w in weights])


def calibration_error(bins: NDArray[np.float64]) -> float:
    """Mean over all scores of |mean score - share right| of their bin."""
    counts, scores, right = bins
    total = float(counts.sum())
    return float(np.abs(scores - right).sum() / total) if total else 0.0


def fit_temperature(loss: Callable[[float], float]) -> float:
    """Find the temperature with the least `loss`, a negative log-likelihood.

    It is convex in the inverse of the temperature, so a golden-section search finds its minimum.
    """
    ratio = (5**0.5 - 1) / 2
    low, high = 1 / _RANGE[1], 1 / _RANGE[0]
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(1 / left) <= loss(1 / right):
            high = right
        else:
            low = left
    return float(f"{2 / (low + high):.6g}")


def label_loss(logits: Floats, gold: NDArray[np.integer]) -> Callable[[float], float]:
    """Return the cross entropy of label numbers `(texts,)` as a function of the temperature."""
    above = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    own = above[np.arange(len(gold)), gold]

    def loss(temperature: float) -> float:
        partition = np.log(np.exp(above / temperature).sum(axis=1))
        return float((partition - own / temperature).mean())

    return loss


def multi_label_loss(logits: Floats, gold: Bools) -> Callable[[float], float]:
    """Return the binary cross entropy of labels `(texts, labels)` as a function of temperature."""
    wrong = np.where(gold, -logits, logits).astype(np.float64)

    def loss(temperature: float) -> float:
        return float(np.logaddexp(0.0, wrong / temperature).mean())

    return loss


def best_f1_threshold(scores: Floats, gold: Bools) -> float:
    """Choose the threshold of the best micro F1; it lies midway between two scores.

    Both `(texts, labels)`. With no label in the data there is nothing to choose by.
    """
    order = np.argsort(-scores, axis=None, kind="stable")
    ranked = scores.ravel()[order].astype(np.float64)
    found = np.cumsum(gold.ravel()[order])
    if not found.size or not found[-1]:
        return DEFAULT_THRESHOLD
    f1 = 2 * found / (np.arange(1, len(ranked) + 1) + found[-1])
    below = np.append(ranked[1:], 0.0)
    f1[below == ranked] = -1  # equal scores cannot be parted
    best = int(f1.argmax())
    return float(ranked[best] + below[best]) / 2


def best_scope_threshold(scores: Floats, right: Bools, in_scope: Bools) -> float:
    """Choose the least score that counts as in scope, all `(texts,)`.

    It has the best harmonic mean of the accuracy on texts in scope (right, and kept) and of the
    share of the others that it rejects: so it does not depend on how many of each there are.
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    rejected = np.append(0, np.cumsum(~in_scope[order])) / max(1, int((~in_scope).sum()))
    hits = (right & in_scope)[order]
    kept = np.append(hits[::-1].cumsum()[::-1], 0) / max(1, int(in_scope.sum()))
    mean = 2 * rejected * kept / np.maximum(rejected + kept, np.finfo(np.float64).tiny)
    low, high = np.append(0.0, ranked), np.append(ranked, 1.0)
    mean[1:-1][ranked[1:] == ranked[:-1]] = -1  # equal scores cannot be parted
    best = int(mean.argmax())
    return float(low[best] + high[best]) / 2
