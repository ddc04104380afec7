"""The trainer of one task, or of several in turn."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import torch
import transformers
from transformers.trainer_utils import EvalLoopOutput

from bertedge.finetune.augmentation import Augmenter
from bertedge.finetune.losses import LossTerm
from bertedge.finetune.objectives import LabelLoss
from bertedge.finetune.shared_encoder import TASK
from bertedge.finetune.task_batches import Rows, TaskCollator
from bertedge.finetune.trainer import FinetuneTrainer

MEAN = "mean"
"""Of the tasks' dev metrics: what chooses the best epoch of several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedTask:
    """What the trainer is given of a task."""

    name: str
    """Of the task; "" where it is the only one."""
    metric: str
    """The name of the dev metric."""
    label_loss: LabelLoss
    terms: Sequence[LossTerm]
    hidden_states: bool
    """Whether a term reads them."""
    collator: Callable[[Rows], dict[str, torch.Tensor]]
    compute_metrics: Callable[[transformers.EvalPrediction], dict[str, float]]
    """Of one metric."""
    train: datasets.Dataset
    dev: datasets.Dataset | None
    augmenter: Augmenter | None


def make_trainer(tasks: Sequence[TrainedTask], **settings: Any) -> FinetuneTrainer:
    """Return the trainer; several tasks are those of a SharedEncoder, in its order."""
    first = tasks[0]
    settings |= {
        "label_loss": first.label_loss,
        "terms": first.terms,
        "output_hidden_states": any(task.hidden_states for task in tasks),
        "compute_metrics": first.compute_metrics,
    }
    if len(tasks) > 1:
        return MultiTaskTrainer(tasks, **settings)
    return FinetuneTrainer(
        augmenter=first.augmenter,
        train_dataset=first.train,
        eval_dataset=first.dev,
        data_collator=first.collator,
        **settings,
    )


class MultiTaskTrainer(FinetuneTrainer):
    """Trains with the loss of each batch's task; evaluates task by task, and by their mean."""

    def __init__(self, tasks: Sequence[TrainedTask], **settings: Any) -> None:
        train = [_numbered(task.train, number) for number, task in enumerate(tasks)]
        self._tasks = tasks
        self._dev = [
            (task, _numbered(task.dev, number))
            for number, task in enumerate(tasks)
            if task.dev is not None
        ]
        super().__init__(
            augmenter=self._augment if any(task.augmenter for task in tasks) else None,
            train_dataset=torch.utils.data.ConcatDataset(train),
            eval_dataset=self._dev[0][1] if self._dev else None,
            data_collator=TaskCollator([task.collator for task in tasks]),
            **settings,
        )

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], *more: Any, **settings: Any
    ) -> Any:
        """Return the loss of the batch's task `()`, and the outputs where they are asked for."""
        task = self._tasks[int(inputs[TASK][0])]
        self._label_loss, self._terms = task.label_loss, task.terms
        return super().compute_loss(model, inputs, *more, **settings)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Evaluate each task that has dev data, one after the other."""
        metrics: dict[str, float] = {}
        rows = 0
        for task, data in self._dev:
            self.compute_metrics = task.compute_metrics
            own = self.get_eval_dataloader(data)
            prefix = f"{metric_key_prefix}_{task.name}"
            found = super().evaluation_loop(own, description, None, ignore_keys, prefix)
            metrics |= {
                f"{prefix}_{x}": found.metrics[f"{prefix}_{x}"] for x in ("loss", task.metric)
            }
            rows += found.num_samples
        scores = [
            metrics[f"{metric_key_prefix}_{task.name}_{task.metric}"] for task, _ in self._dev
        ]
        metrics[f"{metric_key_prefix}_{MEAN}"] = statistics.fmean(scores)
        return EvalLoopOutput(None, None, metrics, rows)

    def _augment(self, rows: Rows) -> Rows:
        change = self._tasks[rows[0][TASK]].augmenter
        return rows if change is None else change(rows)


def equivalent_rows(rows: Sequence[int]) -> int:
    """Return how many rows of one task would have the standard error of the mean over these.

    The mean of k shares of n_i rows has a variance of p (1 - p) sum(1 / n_i) / k^2.
    """
    return round(len(rows) ** 2 / sum(1 / max(each, 1) for each in rows))


def _numbered(data: datasets.Dataset, number: int) -> datasets.Dataset:
    """Add the column of the task's number."""
    return data.add_column(TASK, [number] * data.num_rows)
