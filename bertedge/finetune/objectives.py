"""The torch half of each task: how its rows are batched and how its logits meet the labels."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch.nn import functional

from bertedge.checkpoint import logits_of
from bertedge.finetune.class_loss import ClassLoss
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.features import Features, label_counts
from bertedge.finetune.settings.regularization import ClassWeights
from bertedge.joint_labels import split_labels
from bertedge.spec import LabelKind, ProblemType, Task

PADDING_LOGIT = -1e4
"""Of a token that no answer begins or ends at, and of a choice that is none."""

PLAIN = ClassLoss()
LabelledLogits = Callable[[Any, torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]]
"""From a model's outputs, the labels and the attention mask: logits `(items, classes)`, one tensor
for each set of classes."""


class LabelLoss(Protocol):
    """The loss of the labels."""

    def __call__(
        self, outputs: Any, labels: torch.Tensor, items: Any, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute the batch's share of the mean loss `()`, from a model's outputs and the labels.

        `items` are the labels of the optimizer step, so that accumulated batches have the loss of
        one large batch; `mask` is 1 where tokens are no padding.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a task makes of a model's outputs."""

    label_loss: LabelLoss
    labelled_logits: LabelledLogits
    """Those that have a label, or could have: what a teacher's or a second pass's are held
    against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskObjective:
    """A task's row: its collator, and its objective from a config, the data and the labels."""

    collator: Callable[[transformers.PreTrainedTokenizerFast], Any]
    make: Callable[[FinetuneConfig, Features, Sequence[str]], Objective]


def label_blocks(task: Task, labels: Sequence[str]) -> tuple[slice, ...]:
    """Return the columns of each set of classes that exclude each other."""
    if task.labels_are is LabelKind.INTENT_AND_TAGS:
        joint = split_labels(tuple(labels))
        return joint.intent_columns, joint.tag_columns
    return (slice(0, len(labels)),)


def _texts(config: FinetuneConfig, train: Features, labels: Sequence[str]) -> Objective:
    match config.problem_type:
        case ProblemType.SINGLE_LABEL:
            loss = _cross_entropy_of(config, train, labels)
        case ProblemType.MULTI_LABEL:
            loss = _binary(config, train, labels)
        case ProblemType.REGRESSION:
            loss = squared_error
    return Objective(label_loss=loss, labelled_logits=lambda outputs, *_: (_logits(outputs),))


def _tags(config: FinetuneConfig, train: Features, labels: Sequence[str]) -> Objective:
    blocks = label_blocks(config.task, labels)

    def labelled(outputs: Any, gold: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits = _logits(outputs)
        return tuple(logits[_in_block(gold, block)][:, block] for block in blocks)

    return Objective(label_loss=_cross_entropy_of(config, train, labels), labelled_logits=labelled)


def _spans(config: FinetuneConfig, train: Features, labels: Sequence[str]) -> Objective:
    def labelled(outputs: Any, gold: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits = _logits(outputs).masked_fill(mask.unsqueeze(-1) == 0, PADDING_LOGIT)
        return (logits.transpose(1, 2).flatten(0, 1),)  # tokens to begin and to end at

    loss = functools.partial(span_loss, loss=_class_loss(config))
    return Objective(label_loss=loss, labelled_logits=labelled)


class ChoiceCollator:
    """Batches of inputs with their choices `(batch, choices, sequence)`, which may be ragged."""

    def __init__(self, tokenizer: transformers.PreTrainedTokenizerFast) -> None:
        self._pad = transformers.DataCollatorWithPadding(tokenizer)

    def __call__(self, inputs: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Pad rows, and repeat the last choice where an input has fewer than another."""
        most = max(len(each["input_ids"]) for each in inputs)
        names = [name for name in inputs[0] if name != "labels"]
        rows = [
            {name: each[name][min(i, len(each[name]) - 1)] for name in names}
            for each in inputs
            for i in range(most)
        ]
        batch = {name: tensor.unflatten(0, (-1, most)) for name, tensor in self._pad(rows).items()}
        return batch | {"labels": torch.tensor([each["labels"] for each in inputs])}


def _choices(config: FinetuneConfig, train: Features, labels: Sequence[str]) -> Objective:
    def labelled(outputs: Any, gold: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (choice_logits(outputs, gold),)

    loss = functools.partial(choice_loss, loss=_class_loss(config))
    return Objective(label_loss=loss, labelled_logits=labelled)


_WORDS = TaskObjective(collator=transformers.DataCollatorForTokenClassification, make=_tags)
OBJECTIVES = {
    Task.TEXT_CLASSIFICATION: TaskObjective(
        collator=transformers.DataCollatorWithPadding, make=_texts
    ),
    Task.TOKEN_CLASSIFICATION: _WORDS,
    Task.INTENT_SLOTS: _WORDS,
    Task.QUESTION_ANSWERING: TaskObjective(
        collator=transformers.DataCollatorWithPadding, make=_spans
    ),
    Task.MULTIPLE_CHOICE: TaskObjective(collator=ChoiceCollator, make=_choices),
}
"""A row for each task that `finetune` trains."""


def squared_error(
    outputs: Any, labels: torch.Tensor, items: Any, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Compute the batch's share of the mean squared error of values `(batch,)`."""
    return functional.mse_loss(_logits(outputs)[:, 0], labels.float(), reduction="sum") / items


def span_loss(
    outputs: Any,
    labels: torch.Tensor,
    items: Any,
    mask: torch.Tensor | None = None,
    *,
    loss: ClassLoss = PLAIN,
) -> torch.Tensor:
    """Compute the cross entropy of the first and the last token of the answer, as BERT's own.

    `labels` are those of `Features`. What the model itself would do cannot share the batches of an
    optimizer step, nor tell in which order it met the windows.
    """
    logits = _logits(outputs)
    sides = [
        loss.cross_entropy(logits[..., side], labels[:, side], possible=mask) for side in (0, 1)
    ]
    return (sides[0] + sides[1]) / (2 * items / labels.shape[1])  # what is counted are numbers


def choice_logits(outputs: Any, labels: torch.Tensor) -> torch.Tensor:
    """Return the logits `(batch, choices)`; those that only fill up a batch are very low.

    `labels` `(batch, 2)`: the place of the right choice, and how many there are.
    """
    logits = _logits(outputs)
    filled = torch.arange(logits.shape[1], device=logits.device) >= labels[:, 1:]
    return logits.masked_fill(filled, PADDING_LOGIT)


def choice_loss(
    outputs: Any,
    labels: torch.Tensor,
    items: Any,
    mask: torch.Tensor | None = None,
    *,
    loss: ClassLoss = PLAIN,
) -> torch.Tensor:
    """Compute the batch's share of the mean cross entropy of the right choice."""
    logits = choice_logits(outputs, labels)
    total = loss.cross_entropy(logits, labels[:, 0], possible=logits > PADDING_LOGIT)
    return total / (items / labels.shape[1])  # what is counted are numbers


def _cross_entropy_of(config: FinetuneConfig, train: Features, labels: Sequence[str]) -> LabelLoss:
    counts = label_counts(train, config, len(labels))
    balanced = config.class_weights is ClassWeights.BALANCED
    blocks = label_blocks(config.task, labels)
    return _cross_entropy(counts, blocks, _class_loss(config), balanced=balanced)


def _class_loss(config: FinetuneConfig) -> ClassLoss:
    return ClassLoss(smoothing=config.label_smoothing, gamma=config.focal_gamma)


def _cross_entropy(
    counts: NDArray[np.int64], blocks: Sequence[slice], class_loss: ClassLoss, *, balanced: bool
) -> LabelLoss:
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

    def loss(
        outputs: Any, labels: torch.Tensor, items: Any, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        logits = _logits(outputs)
        total = logits.new_zeros(())
        for block in blocks:
            own = _in_block(labels, block)
            total = total + class_loss.cross_entropy(
                logits[own][:, block],
                labels[own] - block.start,
                weight=weights[block].to(logits.device),
            )
        return total / items

    return loss


def _binary(config: FinetuneConfig, train: Features, labels: Sequence[str]) -> LabelLoss:
    """Weight a label's positives as PyTorch's `pos_weight` advises: texts without it / with it."""
    weights, class_loss = None, _class_loss(config)
    if config.class_weights is ClassWeights.BALANCED:
        positives, texts = label_counts(train, config, len(labels)), train.data.num_rows
        share = (texts - positives) / np.maximum(positives, 1)
        weights = torch.tensor(share, dtype=torch.float32)

    def loss(
        outputs: Any, labels: torch.Tensor, items: Any, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        logits = _logits(outputs)
        weight = None if weights is None else weights.to(logits.device)
        return class_loss.binary(logits, labels.float(), weight=weight) / items

    return loss


def _in_block(labels: torch.Tensor, block: slice) -> torch.Tensor:
    return (labels >= block.start) & (labels < block.stop)


def _logits(outputs: Any) -> torch.Tensor:
    return logits_of(outputs).float()
