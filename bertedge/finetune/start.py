"""Where a new head starts: at what the training data says of a text before it is read."""

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from bertedge.finetune.features import Features, label_counts
from bertedge.finetune.recipe import ClassWeights, Recipe
from bertedge.heads import split_heads
from bertedge.tasks import ProblemType, Task

Floats = NDArray[np.float64]


def set_bias(
    model: transformers.PreTrainedModel, new: set[str], recipe: Recipe, train: Features
) -> None:
    """Set the bias of the head's last layer, if that is among the `new` parameters.

    A bias moves by a learning rate a step; the log-odds of rare labels, or the mean of values, are
    thousands of steps from zero, and until there the weights of the text's vector make up for it.
    (The prior of Lin et al. 2017, "Focal Loss for Dense Object Detection", 3.3.)
    """
    labels = tuple(model.config.id2label.values())
    last = [
        parameter
        for name, parameter in model.named_parameters()
        if name in new and name.endswith(".bias") and parameter.shape == (len(labels),)
    ]
    start = first_guess(recipe, train, labels)
    if last and start is not None:
        with torch.no_grad():
            last[-1].copy_(torch.from_numpy(start))


def first_guess(recipe: Recipe, train: Features, labels: tuple[str, ...]) -> Floats | None:
    """Give the logits `(labels,)` of least loss that a text unseen could have.

    None where that is zero: for spans, and where classes are balanced.
    """
    if recipe.task is Task.QUESTION_ANSWERING or recipe.class_weights is ClassWeights.BALANCED:
        return None
    if recipe.problem_type is ProblemType.REGRESSION:
        return np.array([np.mean(train.data["labels"])])
    counts = label_counts(train, recipe, len(labels)).astype(np.float64)
    if recipe.problem_type is ProblemType.MULTI_LABEL:
        return np.asarray(np.log(counts + 0.5) - np.log(train.data.num_rows - counts + 0.5))
    blocks = [slice(0, len(labels))]
    if recipe.task is Task.INTENT_SLOTS:
        heads = split_heads(labels)
        blocks = [heads.intent_columns, heads.tag_columns]
    guess = np.log(counts + 0.5)
    for block in blocks:
        guess[block] -= guess[block].mean()
    return np.asarray(guess)
