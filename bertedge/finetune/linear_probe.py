"""Where a head on the mean of hidden states starts: at a linear model of the base's embeddings.

Linear probing, then fine-tuning (Kumar et al. 2022, arXiv:2202.10054): a random head pulls the
encoder about while it is learnt itself, which costs most where labels are many and rows are few.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import accelerate
import datasets
import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from bertedge.checkpoint.row_models import pool
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.defaults import learns_labels
from bertedge.finetune.features import Features
from bertedge.progress import Progress
from bertedge.spec import CLASSIFIER_POOLING, PoolingMode, ProblemType
from bertedge.training.precision import choose_precision, inference

MOST_ROWS = 4000
"""That are embedded: four thousand take a third of the time that one epoch of them takes."""
MOST_CHOSEN_ON = 1000
"""Rows that its strength is chosen on."""
STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""The inverse of the penalty, scikit-learn's C."""
FOLDS = 3
TAKEN = 0.2
"""Of the logits of texts with one label, where the encoder is trained too. Sure of its training
texts, the head would leave the encoder nothing to learn."""
HEAD = "mean_classifier"
_BATCH = 64

Floats = NDArray[np.float64]
Collator = Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A linear model of embeddings."""

    weight: Floats
    """`(labels, hidden)`."""
    bias: Floats
    """`(labels,)`."""

    def logits(self, vectors: Floats) -> Floats:
        """Return the logits `(rows, labels)` of vectors `(rows, hidden)`."""
        return vectors @ self.weight.T + self.bias


def initialize_head(
    model: transformers.PreTrainedModel,
    new: set[str],
    config: FinetuneConfig,
    train: Features,
    collator: Collator,
    progress: Progress,
) -> None:
    """Fit the head to the training texts' embeddings, if it is among the `new` parameters.

    Its probabilities are tempered where the encoder learns with it: `TAKEN`.
    """
    if f"{HEAD}.weight" not in new:
        return
    texts = choose_rows(train, MOST_ROWS, config.seed)
    vectors = embed(model, texts, collator, config, progress)[PoolingMode.MEAN]
    fitted = fit(vectors, np.asarray(texts["labels"]), model.config.num_labels, config)
    both_learn = learns_labels(config) and config.train_layers != 0
    head, taken = getattr(model, HEAD), TAKEN if both_learn else 1.0
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(taken * fitted.weight))
        head.bias.copy_(torch.from_numpy(taken * fitted.bias))


def choose_rows(train: Features, most: int, seed: int) -> datasets.Dataset:
    """Return the training rows, or `most` of them drawn by the seed, in their order."""
    if train.data.num_rows <= most:
        return train.data
    rows = np.random.default_rng(seed).choice(train.data.num_rows, most, replace=False)
    return train.data.select(np.sort(rows))


def embed(
    model: transformers.PreTrainedModel,
    texts: datasets.Dataset,
    collator: Collator,
    config: FinetuneConfig,
    progress: Progress,
) -> dict[PoolingMode, Floats]:
    """Compute what a head would read of each text `(rows, hidden)`, without dropout."""
    width, encoder = int(model.config.hidden_size), model.base_model
    found = {mode: np.zeros((len(texts), width)) for mode in CLASSIFIER_POOLING}
    order = np.argsort(np.asarray(texts["length"]), kind="stable")
    rows = texts.select_columns(["input_ids", "token_type_ids"])
    device, precision = accelerate.PartialState().device, choose_precision(config.precision)
    kept: list[Any] = []
    hook = encoder.register_forward_hook(lambda _, given, output: kept.append(output))
    model.to(device).eval()
    progress.start("embedding", len(texts), "rows")
    try:
        for start in range(0, len(texts), _BATCH):
            part = order[start : start + _BATCH]
            batch = collator(read_rows(rows, part))
            batch = {name: each.to(device) for name, each in batch.items()}
            with inference(precision, device):
                model(**batch)
                hidden = kept.pop().last_hidden_state
            for mode, vectors in found.items():
                pooled = pool(hidden, batch["attention_mask"], mode)
                vectors[part] = pooled.double().cpu().numpy()
            progress.advance(len(part))
    finally:
        hook.remove()
        progress.finish()
    model.train()
    return found


def read_rows(rows: datasets.Dataset, numbers: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return some rows as a collator takes them."""
    return [rows[int(number)] for number in numbers]


def fit(
    vectors: Floats,
    labels: NDArray[Any],
    classes: int,
    config: FinetuneConfig,
    strength: float | None = None,
) -> Linear:
    """Fit logistic regression, or ridge regression for values, to vectors `(rows, hidden)`.

    The vectors are divided by their common standard deviation, so that one `strength`,
    scikit-learn's C, means the same for all bases; None: `choose_strength`. A class that no row
    has starts as unlikely as the least likely.
    """
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier

    if strength is None:
        strength = choose_strength(vectors, labels, classes, config)
    center, scale = vectors.mean(axis=0), vectors.std() or 1.0
    scaled = (vectors - center) / scale
    weight: Floats = np.zeros((classes, vectors.shape[1]))
    bias: Floats = np.zeros(classes)
    balanced = config.class_weights.value if config.class_weights != "none" else None
    logistic = LogisticRegression(C=strength, max_iter=300, class_weight=balanced)
    if config.problem_type is ProblemType.REGRESSION:
        ridge = Ridge(alpha=10.0 / strength).fit(scaled, labels)
        weight[0], bias[0] = ridge.coef_, ridge.intercept_
    elif config.problem_type is ProblemType.MULTI_LABEL:
        both = [i for i in range(classes) if 0 < labels[:, i].sum() < len(labels)]
        bias[:] = np.where(labels.mean(axis=0) > 0.5, 5.0, -5.0)
        models = OneVsRestClassifier(logistic).fit(scaled, labels[:, both]).estimators_
        for i, model in zip(both, models, strict=True):
            weight[i], bias[i] = model.coef_[0], model.intercept_[0]
    else:
        if len(np.unique(labels)) == 1:
            bias[labels[0]] = 1.0
            return Linear(weight=weight, bias=bias)
        model = logistic.fit(scaled, labels)
        there, coefficients, intercepts = model.classes_, model.coef_, model.intercept_
        if len(there) == 2:  # one logit, that of the second class against the first
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercepts = np.concatenate([-intercepts, intercepts]) / 2
        bias[:] = intercepts.min()
        weight[there], bias[there] = coefficients, intercepts
    weight /= scale
    return Linear(weight=weight, bias=bias - weight @ center)


def choose_strength(
    vectors: Floats, labels: NDArray[Any], classes: int, config: FinetuneConfig
) -> float:
    """Return which of `STRENGTHS` has the least loss, cross-validated on up to 1,000 rows.

    The loss and not how often it is right: a head that is sure of what it has by heart leaves
    fine-tuning nothing to learn.
    """
    if len(vectors) > MOST_CHOSEN_ON:
        rows = np.random.default_rng(config.seed).choice(len(vectors), MOST_CHOSEN_ON, False)
        vectors, labels = vectors[rows], labels[rows]
    if not can_split(labels, config):
        return STRENGTHS[1]
    folds = split_folds(labels, config)

    def loss(strength: float) -> float:
        total = 0.0
        for train, test in folds:
            fitted = fit(vectors[train], labels[train], classes, config, strength)
            total += _log_loss(fitted.logits(vectors[test]), labels[test], config)
        return total

    return min(STRENGTHS, key=loss)


def split_folds(
    labels: NDArray[Any], config: FinetuneConfig
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the rows that each fold fits and scores, stratified by label."""
    from sklearn.model_selection import KFold, StratifiedKFold

    single = config.problem_type is ProblemType.SINGLE_LABEL
    kind = (StratifiedKFold if single else KFold)(FOLDS, shuffle=True, random_state=config.seed)
    with warnings.catch_warnings(action="ignore"):  # of labels with fewer rows than folds
        return list(kind.split(labels, labels))


def can_split(labels: NDArray[Any], config: FinetuneConfig) -> bool:
    """Return whether there are rows enough, and of one label at least, for every fold."""
    if config.problem_type is ProblemType.SINGLE_LABEL:
        return bool(np.bincount(labels).max() >= FOLDS)
    return len(labels) >= FOLDS


def _log_loss(logits: Floats, labels: NDArray[Any], config: FinetuneConfig) -> float:
    match config.problem_type:
        case ProblemType.SINGLE_LABEL:
            shifted = logits - logits.max(axis=1, keepdims=True)
            own = shifted[np.arange(len(labels)), labels]
            return float((np.log(np.exp(shifted).sum(axis=1)) - own).sum())
        case ProblemType.MULTI_LABEL:
            return float((np.logaddexp(0, logits) - logits * labels).sum())
        case ProblemType.REGRESSION:
            return float(((logits[:, 0] - labels) ** 2).sum())
