"""What a classifier of texts reads where nobody says so: [CLS], or the mean of hidden states."""

from dataclasses import replace
from typing import Any

import accelerate
import numpy as np
import transformers
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.linear_probe import (
    Floats,
    Linear,
    can_split,
    choose_rows,
    choose_strength,
    embed,
    fit,
    split_folds,
)
from bertedge.finetune.objectives import OBJECTIVES
from bertedge.finetune.preparation import Prepared, load_base
from bertedge.progress import Progress
from bertedge.spec import PoolingMode, ProblemType

MOST_ROWS = 1000
"""Texts that the choice is made on."""
MOST_WRONG = 0.5
"""Of what one answer for all texts is wrong, for the mean to be read by a classifier of several
labels or of values."""


def choose_head(config: FinetuneConfig, prepared: Prepared, progress: Progress) -> Prepared:
    """Return what was prepared, with the pooling settled where it was left open.

    A linear model of each pooling's vectors is cross-validated on the training texts. One label is
    read from the mean unless [CLS] is clearly better, several labels and values by `prefer_mean`;
    without the mean, [CLS] is read by the architecture's own head. Of too few texts it stays as the
    base was trained to be read.
    """
    if not prepared.inputs.pooling_open:
        return prepared
    inputs = replace(prepared.inputs, pooling=PoolingMode.MEAN, pooling_open=False)
    texts = choose_rows(prepared.train, MOST_ROWS, config.seed)
    labels, classes = np.asarray(texts["labels"]), len(inputs.labels)
    if not can_split(labels, config):
        return replace(prepared, inputs=replace(prepared.inputs, pooling_open=False))
    collator = OBJECTIVES[config.task].collator(inputs.tokenizer)
    transformers.set_seed(config.seed)
    model, _ = load_base(config, inputs, ())
    vectors = embed(model, texts, collator, config, progress)
    losses = {mode: cross_validate(vectors[mode], labels, classes, config) for mode in vectors}
    if config.problem_type is ProblemType.SINGLE_LABEL:
        chosen = [not is_better(losses[PoolingMode.CLS], losses[PoolingMode.MEAN])]
    else:
        chosen = [prefer_mean(losses, losses_of_one_answer(labels, classes, config))]
    broadcast_object_list(chosen)  # a launch of several processes trains one model
    if accelerate.PartialState().is_main_process:
        progress.say(_describe(losses, config, mean=chosen[0]))
    pooling = PoolingMode.MEAN if chosen[0] else None
    return replace(prepared, inputs=replace(inputs, pooling=pooling))


def is_better(one: Floats, other: Floats) -> bool:
    """Return whether the first losses `(rows,)` are less by over one standard error of the mean."""
    gained = other - one
    return bool(gained.mean() > gained.std() / np.sqrt(len(gained)))


def prefer_mean(losses: dict[PoolingMode, Floats], one_answer: Floats) -> bool:
    """Return whether a classifier of several labels or of values reads the mean.

    It does where its linear model is clearly better, and wrong half as often at most as one answer
    for all texts. From vectors that say less, training comes further by the head that the base was
    made with. All losses are text by text, `(rows,)`.
    """
    mean = losses[PoolingMode.MEAN]
    return is_better(mean, losses[PoolingMode.CLS]) and bool(
        mean.mean() <= MOST_WRONG * one_answer.mean()
    )


def losses_of_one_answer(labels: NDArray[Any], classes: int, config: FinetuneConfig) -> Floats:
    """Return how wrong the best single answer is on each row, `(rows,)`."""
    match config.problem_type:
        case ProblemType.SINGLE_LABEL:
            bias = np.bincount(labels, minlength=classes).astype(np.float64)
        case ProblemType.MULTI_LABEL:
            bias = labels.mean(axis=0) - 0.5
        case ProblemType.REGRESSION:
            bias = labels.mean(keepdims=True)
    constant = Linear(weight=np.zeros((len(bias), 1)), bias=bias)
    return losses_of(constant, np.zeros((len(labels), 1)), labels, config)


def cross_validate(
    vectors: Floats, labels: NDArray[Any], classes: int, config: FinetuneConfig
) -> Floats:
    """Return how wrong a linear model is on each row that it was not fitted to, `(rows,)`."""
    wrong: Floats = np.zeros(len(vectors))
    strength = choose_strength(vectors, labels, classes, config)
    for train, test in split_folds(labels, config):
        fitted = fit(vectors[train], labels[train], classes, config, strength)
        wrong[test] = losses_of(fitted, vectors[test], labels[test], config)
    return wrong


def losses_of(
    fitted: Linear, vectors: Floats, labels: NDArray[Any], config: FinetuneConfig
) -> Floats:
    """Return how wrong a linear model is on each row, `(rows,)`.

    Of one label 0 or 1; of several the share that is wrong; of values the squared error.
    """
    logits = fitted.logits(vectors)
    match config.problem_type:
        case ProblemType.SINGLE_LABEL:
            found = logits.argmax(axis=1) != labels
        case ProblemType.MULTI_LABEL:
            found = ((logits > 0) != labels).mean(axis=1)
        case ProblemType.REGRESSION:
            found = (logits[:, 0] - labels) ** 2
    return np.asarray(found, dtype=np.float64)


def _describe(losses: dict[PoolingMode, Floats], config: FinetuneConfig, *, mean: bool) -> str:
    values = {mode: float(wrong.mean()) for mode, wrong in losses.items()}
    if config.problem_type is ProblemType.REGRESSION:
        told = {mode: f"a squared error of {value:.3g}" for mode, value in values.items()}
    else:
        told = {mode: f"{1 - value:.1%} right" for mode, value in values.items()}
    return (
        f"linear models of the training texts, cross-validated: the mean of the hidden states "
        f"{told[PoolingMode.MEAN]}, [CLS] {told[PoolingMode.CLS]}; the classifier reads "
        f"{'the mean' if mean else '[CLS]'} (--pooling)"
    )
