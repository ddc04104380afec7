"""Correlations and errors of values, and cosines of embeddings."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueScores:
    """The scores of a model that gives each text a number."""

    metric: str
    """"spearman": what `value` is."""
    value: float
    pearson: float
    rmse: float | None
    """Root of the mean squared error, in the unit of the labels; None for cosines, which have
    another."""


def value_scores(gold: Floats, predicted: Floats) -> ValueScores:
    """Score numbers `(examples,)`; the correlation with a constant counts as 0."""
    gold, predicted = np.asarray(gold, np.float64), np.asarray(predicted, np.float64)
    if gold.ndim != 1 or gold.shape != predicted.shape or not gold.size:
        raise ValueError(f"cannot score {predicted.shape} values against {gold.shape}")
    return ValueScores(
        metric="spearman",
        value=_correlation(_ranks(gold), _ranks(predicted)),
        pearson=_correlation(gold, predicted),
        rmse=float(np.sqrt(np.mean((gold - predicted) ** 2))),
    )


def similarity_scores(gold: Floats, vectors: Floats) -> ValueScores:
    """Score the cosines of pairs of embeddings `(pairs, 2, hidden)` against values `(pairs,)`."""
    found = value_scores(gold, cosines(vectors[:, 0], vectors[:, 1]))
    return replace(found, rmse=None)


def cosines(one: Floats, other: Floats) -> Floats:
    """Return the cosine of each vector with its counterpart; 0 where one of them is 0."""
    return np.asarray((unit(one) * unit(other)).sum(axis=-1))


def unit(vectors: Floats) -> Floats:
    """Divide vectors by their lengths, those of length 0 excepted."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1))


def _correlation(one: Floats, other: Floats) -> float:
    """Pearson's r."""
    one, other = one - one.mean(), other - other.mean()
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.clip(one @ other / norm, -1, 1)) if norm > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    """Rank from 0; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[place], np.float64)
