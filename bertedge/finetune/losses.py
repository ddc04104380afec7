"""Losses that are not the model's own: rare classes count for more, or a text has two heads."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bertedge.checkpoint import logits_of
from bertedge.finetune.config import ClassWeights, FinetuneConfig
from bertedge.finetune.features import IGNORED, Features, label_counts
from bertedge.heads import split_heads
from bertedge.spec import ProblemType, Task

Loss = Callable[..., torch.Tensor]


def weighted_loss(
    config: FinetuneConfig, features: Features, labels: tuple[str, ...]
) -> Loss | None:
    """Make the loss of balanced classes, or of intents and tags, or of spans.

    None where the model's own is right.
    """
    if config.task is Task.QUESTION_ANSWERING:
        return span_loss
    joint = config.task is Task.INTENT_SLOTS
    balanced = config.class_weights is not ClassWeights.NONE
    if not balanced and not joint:
        return None
    counts = label_counts(features, config, len(labels))
    if config.problem_type is ProblemType.MULTI_LABEL:
        return _binary(counts, features.data.num_rows)
    blocks = [slice(0, len(labels))]
    if joint:
        heads = split_heads(labels)
        blocks = [heads.intent_columns, heads.tag_columns]
    return _cross_entropy(counts, blocks, balanced=balanced)


def span_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """Give the mean cross entropy of the first and the last token of the answer, as BERT's own.

    `labels` are those of `Features`. What the model itself would do cannot share the batches of an
    optimizer step, nor tell in which order it met the windows.
    """
    logits = logits_of(outputs).float()
    total = sum(
        torch.nn.functional.cross_entropy(logits[..., side], labels[:, side], reduction="sum")
        for side in (0, 1)
    )
    items = labels.numel() if num_items_in_batch is None else num_items_in_batch
    rows = items / labels.shape[1]  # what Trainer counts are numbers
    return torch.as_tensor(total / (2 * rows))


def _cross_entropy(counts: NDArray[np.int64], blocks: Sequence[slice], *, balanced: bool) -> Loss:
    """Sum the cross entropies of blocks of labels, each its mean over the training data.

    The mean over all items is what Trainer asks for, however batches are accumulated; so an item
    weighs as much as its block has too few: with ten words a text, an intent counts for ten words
    and more. Balanced classes weigh rows / (classes x rows of the class), as in scikit-learn.
    """
    scale = np.zeros(len(counts))
    for block in blocks:
        own = counts[block]
        scale[block] = counts.sum() / max(own.sum(), 1)
        if balanced:
            scale[block] *= own.sum() / (len(own) * np.maximum(own, 1))
    weights = torch.tensor(scale, dtype=torch.float32)

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits, gold = outputs["logits"].float().flatten(0, -2), labels.flatten()
        total = logits.new_zeros(())
        for block in blocks:
            own = (gold >= block.start) & (gold < block.stop)
            total = total + torch.nn.functional.cross_entropy(
                logits[own][:, block],
                gold[own] - block.start,
                weight=weights[block].to(logits.device),
                reduction="sum",
            )
        items = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return total / items

    return loss


def _binary(positives: NDArray[np.int64], texts: int) -> Loss:
    """Weight a label's positives as PyTorch's `pos_weight` advises: texts without it / with it."""
    weights = torch.tensor((texts - positives) / np.maximum(positives, 1), dtype=torch.float32)

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        logits = outputs["logits"].float()
        total = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, labels.float(), pos_weight=weights.to(logits.device), reduction="sum"
        )
        items = labels.numel() if num_items_in_batch is None else num_items_in_batch
        return total / items

    return loss
