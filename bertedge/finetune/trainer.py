"""Hugging Face's Trainer, with a loss that is a sum of terms and rates that differ by layer."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import transformers

from bertedge.finetune.frozen_layers import ROWS, FrozenLayers
from bertedge.finetune.length_batches import LengthSampler
from bertedge.finetune.losses import Batch, LossTerm
from bertedge.finetune.objectives import LabelLoss
from bertedge.finetune.optimizers import Schedule
from bertedge.finetune.parameter_groups import parameter_groups
from bertedge.finetune.selection import CLEAR, least_equal
from bertedge.finetune.weight_average import WeightAverage
from bertedge.tasks.token_classification import IGNORED


class FinetuneTrainer(transformers.Trainer):
    """Sums the terms in training; in evaluation the loss is that of the labels alone.

    With an `average` of the weights, that is what is evaluated and saved.
    """

    optimizer: torch.optim.Optimizer | None
    lr_scheduler: Any
    data_collator: Any
    schedule: Schedule
    """Of the learning rate."""
    sampler: torch.utils.data.Sampler[int] | None = None
    """Of an epoch's rows; None: all of them, those of similar length together."""
    frozen: FrozenLayers | None = None
    """What is told the numbers of the batch's rows, which the data then has."""
    scored_rows: int | None = None
    """Of the dev data, where they are to choose by their standard error; None: the best is kept."""

    def __init__(
        self,
        *,
        label_loss: LabelLoss,
        terms: Sequence[LossTerm],
        layer_decay: float,
        output_hidden_states: bool,
        average: WeightAverage | None = None,
        augmenter: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
        **settings: Any,
    ) -> None:
        # With a loss of its own, Trainer counts the labels of a step and divides nothing itself.
        super().__init__(compute_loss_func=label_loss, **settings)
        self._augmenter = augmenter
        self._label_loss, self._terms, self._layer_decay = label_loss, terms, layer_decay
        self._averaged = contextlib.nullcontext if average is None else average.in_place
        self._called_with = {"output_hidden_states": True} if output_hidden_states else {}

    def get_train_dataloader(self) -> Any:
        """Return the batches of training, in which rows may be changed."""
        plain, change = self.data_collator, self._augmenter
        if change is None:
            return super().get_train_dataloader()
        self.data_collator = lambda rows: plain(change(rows))
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = plain

    def create_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer, which is made at the first call."""
        if self.optimizer is None:
            kind, settings = self.optimizer_cls_and_kwargs
            groups = parameter_groups(
                self.model,
                decayed=self.get_decay_parameter_names(self.model),
                weight_decay=self.args.weight_decay,
                learning_rate=self.args.learning_rate,
                layer_decay=self._layer_decay,
            )
            self.optimizer = kind(groups, **settings)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Return the schedule of the learning rate, which is made at the first call."""
        if self.lr_scheduler is None:
            self.lr_scheduler = self.schedule(optimizer or self.optimizer, num_training_steps)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def evaluate(self, *args: Any, **settings: Any) -> dict[str, float]:
        """Evaluate as Trainer does."""
        with self._averaged():
            scores: dict[str, float] = super().evaluate(*args, **settings)
        return scores

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model as Trainer does."""
        with self._averaged():
            super().save_model(output_dir, _internal_call)

    def _get_train_sampler(self, *_: Any) -> Any:
        if self.sampler is not None:
            return self.sampler
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthSampler(self.train_dataset["length"][:], step)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the loss `()`, and the outputs where they are asked for."""
        labels = inputs["labels"]
        plain = {name: each for name, each in inputs.items() if name not in ("labels", ROWS)}
        if self.frozen is not None:
            self.frozen.rows = inputs[ROWS]
        outputs = model(**plain, **(self._called_with if model.training else {}))
        if not model.training:
            items, mask = (labels != IGNORED).sum(), plain["attention_mask"]
            loss = self._label_loss(outputs, labels, items, mask)
            return (loss, outputs) if return_outputs else loss
        batch = Batch(
            inputs=plain,
            labels=labels,
            step_labels=self._own_share(labels, num_items_in_batch),
            step_batches=self.current_gradient_accumulation_steps,
        )
        loss = torch.stack([term(model, batch, outputs) for term in self._terms]).sum()
        return (loss, outputs) if return_outputs else loss

    def _set_signature_columns_if_needed(self) -> None:
        """Keep the numbers of rows among the columns that batches are made of."""
        super()._set_signature_columns_if_needed()
        if ROWS not in self._signature_columns:
            self._signature_columns += [ROWS]

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Of evaluations that score the same, take the last: its learning rate is the lowest.

        With `scored_rows`, scores that are apart by less than `CLEAR` standard errors of a share of
        so many rows count as the same: a few rows choose by luck.
        """
        name = f"eval_{self.args.metric_for_best_model}"
        score, best = metrics[name], self.state.best_metric
        found = [each[name] for each in self.state.log_history if name in each]
        least = least_equal([*found, score], self.scored_rows, CLEAR)
        if best is not None and score >= least:
            self.state.best_metric = float(np.nextafter(score, -np.inf))
        return bool(super()._determine_best_metric(metrics, trial))

    def _own_share(self, labels: torch.Tensor, counted: Any) -> Any:
        """Return the labels of a step for each process, whose gradients are averaged."""
        if counted is None:
            return (labels != IGNORED).sum()
        processes = self.accelerator.num_processes
        return counted / processes if self.args.average_tokens_across_devices else counted
