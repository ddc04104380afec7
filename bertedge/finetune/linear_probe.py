"""Where a head on the mean of hidden states starts: at a linear model of the base's embeddings.

Linear probing, then fine-tuning (Kumar et al. 2022, arXiv:2202.10054): a random head pulls the
encoder about while it is learnt itself, which costs most where labels are many and rows are few.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import accelerate
import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.features import Features
from bertedge.progress import Progress
from bertedge.spec import ProblemType
from bertedge.training.precision import choose_precision, inference

MOST_ROWS = 4000
"""That are embedded: four thousand take a third of the time that one epoch of them takes."""
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


def initialize_head(
    model: transformers.PreTrainedModel,
    new: set[str],
    config: FinetuneConfig,
    train: Features,
    collator: Collator,
    progress: Progress,
) -> None:
    """Fit the head to the training texts' embeddings, if it is among the `new` parameters."""
    if f"{HEAD}.weight" not in new:
        return
    rows = _choose_rows(train, config.seed)
    vectors = embed(model, train, rows, collator, config, progress)
    fitted = fit(vectors, np.asarray(train.data["labels"])[rows], model.config.num_labels, config)
    head = getattr(model, HEAD)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(fitted.weight))
        head.bias.copy_(torch.from_numpy(fitted.bias))


def embed(
    model: transformers.PreTrainedModel,
    train: Features,
    rows: NDArray[np.int64],
    collator: Collator,
    config: FinetuneConfig,
    progress: Progress,
) -> Floats:
    """Compute what the head reads of rows `(rows, hidden)`, without dropout."""
    lengths = np.asarray(train.data["length"])[rows]
    order = np.argsort(lengths, kind="stable")
    found: Floats = np.zeros((len(rows), int(model.config.hidden_size)))
    data = train.data.select_columns(["input_ids", "token_type_ids"])
    device = accelerate.PartialState().device
    kept: list[torch.Tensor] = []
    hook = getattr(model, HEAD).register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    model.to(device).eval()
    progress.start("fitting the head", len(rows), "rows")
    try:
        for start in range(0, len(rows), _BATCH):
            part = order[start : start + _BATCH]
            batch = collator([data[int(rows[i])] for i in part])
            with inference(choose_precision(config.precision), device):
                model(**{name: tensor.to(device) for name, tensor in batch.items()})
            found[part] = kept.pop().double().cpu().numpy()
            progress.advance(len(part))
    finally:
        hook.remove()
        progress.finish()
    model.train()
    return found


def fit(vectors: Floats, labels: NDArray[Any], classes: int, config: FinetuneConfig) -> Linear:
    """Fit logistic regression, or ridge regression for values, to vectors `(rows, hidden)`.

    The vectors are divided by their common standard deviation, so that one strength of the
    penalty (1, scikit-learn's default) suits all bases. A class that no row has starts as unlikely
    as the least likely.
    """
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier

    center, scale = vectors.mean(axis=0), vectors.std() or 1.0
    scaled = (vectors - center) / scale
    weight: Floats = np.zeros((classes, vectors.shape[1]))
    bias: Floats = np.zeros(classes)
    balanced = config.class_weights.value if config.class_weights != "none" else None
    logistic = LogisticRegression(max_iter=300, class_weight=balanced)
    if config.problem_type is ProblemType.REGRESSION:
        ridge = Ridge(alpha=10.0).fit(scaled, labels)
        weight[0], bias[0] = ridge.coef_, ridge.intercept_
    elif config.problem_type is ProblemType.MULTI_LABEL:
        both = [i for i in range(classes) if 0 < labels[:, i].sum() < len(labels)]
        bias[:] = np.where(labels.mean(axis=0) > 0.5, 5.0, -5.0)
        models = OneVsRestClassifier(logistic).fit(scaled, labels[:, both]).estimators_
        for i, model in zip(both, models, strict=True):
            weight[i], bias[i] = model.coef_[0], model.intercept_[0]
    else:
        model = logistic.fit(scaled, labels)
        there, coefficients, intercepts = model.classes_, model.coef_, model.intercept_
        if len(there) == 2:  # one logit, that of the second class against the first
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercepts = np.concatenate([-intercepts, intercepts]) / 2
        bias[:] = intercepts.min()
        weight[there], bias[there] = coefficients, intercepts
    weight /= scale
    return Linear(weight=weight, bias=bias - weight @ center)


def _choose_rows(train: Features, seed: int) -> NDArray[np.int64]:
    rows = np.arange(train.data.num_rows)
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False))
    return rows
