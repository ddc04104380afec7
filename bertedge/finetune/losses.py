"""Losses in which rare classes count for more."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bertedge.finetune.features import IGNORED, Features
from bertedge.finetune.recipe import ClassWeights, Recipe
from bertedge.tasks import ProblemType, Task

Loss = Callable[..., torch.Tensor]


def weighted_loss(recipe: Recipe, features: Features, classes: int) -> Loss | None:
    """Make the loss of balanced classes; None where the model's own is right."""
    if recipe.class_weights is ClassWeights.NONE:
        return None
    column = features.data.with_format("arrow")["labels"]
    flat = column[:].combine_chunks()
    if recipe.problem_type is ProblemType.MULTI_LABEL:
        return _binary(flat.flatten().to_numpy().reshape(-1, classes))
    values = (flat.flatten() if recipe.task is Task.TOKEN_CLASSIFICATION else flat).to_numpy()
    return _cross_entropy(np.bincount(values[values != IGNORED], minlength=classes))


def _cross_entropy(counts: NDArray[np.int64]) -> Loss:
    """Weight cross entropy by rows / (classes x rows of the class): scikit-learn's "balanced"."""
    balanced = counts.sum() / (len(counts) * np.maximum(counts, 1))
    weights = torch.tensor(balanced, dtype=torch.float32)

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits = outputs["logits"].float().flatten(0, -2)
        total = torch.nn.functional.cross_entropy(
            logits,
            labels.flatten(),
            weight=weights.to(logits.device),
            ignore_index=IGNORED,
            reduction="sum",
        )
        items = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return total / items

    return loss


def _binary(has: NDArray[np.float64]) -> Loss:
    """Weight a label's positives as PyTorch's `pos_weight` advises: texts without it / with it."""
    positives = has.sum(axis=0)
    weights = torch.tensor((len(has) - positives) / np.maximum(positives, 1), dtype=torch.float32)

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits = outputs["logits"].float()
        total = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, labels.float(), pos_weight=weights.to(logits.device), reduction="sum"
        )
        items = labels.numel() if num_items_in_batch is None else num_items_in_batch
        return total / items

    return loss
