"""Labels that are likely wrong, by confident learning.

Northcutt, Jiang & Chuang (2021), "Confident Learning: Estimating Uncertainty in Dataset Labels", as
cleanlab has it, over probabilities of a model that has not seen the label of the row: the model's
own on data that it was not trained on, else those of a logistic regression on embeddings,
cross-validated.
"""

import contextlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """Every row, the likeliest wrong label first."""

    order: Ints
    """Row numbers `(rows,)`."""
    quality: NDArray[np.float64]
    """Of the label of each row, from 0 to 1 `(rows,)`."""
    count: int
    """How many labels are taken for wrong."""


def rank_labels(gold: Ints, probabilities: Floats) -> Ranked:
    """Rank labels by how likely they are wrong, from out-of-sample probabilities `(rows, labels)`.

    They are ordered by cleanlab's label quality score (the probability of the label itself);
    confident learning says how many are wrong.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    known = np.flatnonzero(np.bincount(gold, minlength=probabilities.shape[1]) > 0)
    renumbered = np.searchsorted(known, gold)  # cleanlab wants every label to occur
    own = np.asarray(probabilities[:, known], np.float64)
    own = np.maximum(own, 1e-9) / np.maximum(own, 1e-9).sum(axis=1, keepdims=True)
    quality = np.asarray(
        get_label_quality_scores(renumbered, own, method="self_confidence"), np.float64
    )
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        wrong = find_label_issues(renumbered, own, n_jobs=1)
    order = np.argsort(quality, kind="stable")
    return Ranked(order=order, quality=quality, count=int(np.sum(wrong)))


def cross_validated(features: Floats, gold: Ints, labels: int, seed: int = 0) -> Floats:
    """Return the probabilities `(rows, labels)` of a logistic regression, each row held out once.

    A class of fewer rows than folds is missing from some folds, where its probability is 0.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    found = np.zeros((len(gold), labels))
    folds = min(FOLDS, len(gold))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, gold)
        for train, held_out in splits:
            model = LogisticRegression(max_iter=500)
            model.fit(features[train], gold[train])
            found[np.ix_(held_out, model.classes_)] = model.predict_proba(features[held_out])
    return found


def join_features(vectors: Sequence[Floats]) -> Floats:
    """Return the features of texts, or of pairs: both vectors, their difference and product."""
    if len(vectors) == 1:
        return vectors[0]
    one, other = vectors
    return np.concatenate([one, other, np.abs(one - other), one * other], axis=1)
