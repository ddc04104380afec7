"""The pretraining loop: Hugging Face's Trainer over our rows, budget and checks."""

import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.trainer_callback import TrainerState

from bertedge import serialization
from bertedge.errors import StoppedError
from bertedge.pretrain.collator import Item, RowMasker, Run, Split, collate
from bertedge.pretrain.config import PretrainConfig
from bertedge.pretrain.head import MaskedTokenHead
from bertedge.pretrain.held_out import Check, HeldOut
from bertedge.pretrain.rows import Rows
from bertedge.pretrain.schedule import UNBOUNDED, Budget, BudgetCallback
from bertedge.progress import Progress
from bertedge.training.arguments import training_arguments
from bertedge.training.callbacks import interruptible
from bertedge.training.config import Precision
from bertedge.training.curves import render_curves, tensorboard_callbacks
from bertedge.training.dropout import set_dropout
from bertedge.training.precision import choose_precision
from bertedge.training.run_directory import newest_state, step_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What goes into training."""

    model: transformers.PreTrainedModel
    rows: Rows
    split: Split
    masker: RowMasker
    held_out: list[Item]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How training ended; the model holds the last weights."""

    steps: int
    epochs: float
    seconds: float
    tokens_per_second: float
    precision: Precision
    checks: tuple[Check, ...]
    curves: str
    """Loss and learning rate along the run, as CSV."""


def train(config: PretrainConfig, material: Material, work: Path, progress: Progress) -> Trained:
    """Train the model in place until the budget is spent.

    States lie in `work`; the newest whole one there is continued from. Raises StoppedError after
    Ctrl-C, with the state saved.
    """
    model = material.model
    precision = choose_precision(config.precision)
    if config.dropout is not None:
        set_dropout(model, config.dropout)
    run = Run(material.rows, material.split.train, material.masker, seed=config.seed)
    batch = (
        config.batch_size
        * config.gradient_accumulation_steps
        * int(os.environ.get("WORLD_SIZE", "1"))
    )
    budget = Budget(
        steps=count_steps(config, run.length, batch),
        minutes=config.minutes,
        warmup=config.warmup_ratio,
    )
    run.length = budget.steps * batch
    head = MaskedTokenHead(model)
    held_out = HeldOut(
        items=material.held_out,
        pad=material.masker.pad,
        batch_size=2 * config.batch_size,
        precision=precision,
    )
    state = newest_state(work, progress)
    callback = BudgetCallback(
        progress,
        budget,
        held_out,
        head,
        checks=config.checks,
        tokens=batch * config.max_length,
    )
    callback.resumed = state
    trainer = _Pretrainer(
        model=model,
        args=training_arguments(
            config,
            work,
            precision,
            max_steps=budget.steps,
            learning_rate=config.peak_learning_rate,
            adam_beta2=0.98,  # as RoBERTa: the mean over 50 steps, not over 1,000
            adam_epsilon=1e-6,
            ddp_find_unused_parameters=True,
            eval_strategy="no",
            save_strategy="no",
            logging_steps=10,
            remove_unused_columns=False,
        ),
        train_dataset=run,
        data_collator=partial(collate, pad=material.masker.pad),
        callbacks=[callback],
    )
    trainer.head, trainer.budget = head, budget
    trainer.remove_callback(transformers.PrinterCallback)
    if trainer.args.process_index == 0:
        done = 0 if state is None else step_of(state)
        for each in tensorboard_callbacks(config.log_dir, done):
            trainer.add_callback(each)
    with interruptible(callback):
        trainer.train(resume_from_checkpoint=None if state is None else str(state))
    progress.finish()
    steps = trainer.state.global_step
    if callback.stopped:
        total = "" if budget.steps == UNBOUNDED else f" of {budget.steps}"
        raise StoppedError(
            f"interrupted at step {steps}{total}, "
            "which is saved: the same command with --resume continues there"
        )
    head.remove()
    return Trained(
        steps=steps,
        epochs=steps * batch / len(material.split.train),
        seconds=budget.seconds(),
        tokens_per_second=callback.tokens_per_second,
        precision=precision,
        checks=checks_of(trainer.state),
        curves=render_curves(trainer.state.log_history),
    )


def count_steps(config: PretrainConfig, rows: int, batch: int) -> int:
    """Return after how many steps the run ends if time does not end it before."""
    steps = [] if config.max_steps is None else [config.max_steps]
    epochs = config.epochs
    if epochs is None and config.max_steps is None and config.minutes is None:
        epochs = 1.0
    if epochs is not None:
        steps.append(max(1, math.ceil(epochs * rows / batch)))
    return min([*steps, UNBOUNDED])


def checks_of(state: TrainerState) -> tuple[Check, ...]:
    """Gather the checks that the run, interrupted or not, has left in Trainer's log."""
    entries = [entry["check"] for entry in state.log_history if "check" in entry]
    return tuple(serialization.from_plain(Check, entry) for entry in entries)


class _Pretrainer(transformers.Trainer):
    """Trainer with our loss, our order of rows and our learning rate."""

    head: MaskedTokenHead
    budget: Budget
    lr_scheduler: Any

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # Losses are means of their own batches; Trainer then divides by the accumulated ones.
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], *_: Any, **__: Any
    ) -> torch.Tensor:
        losses = self.head(model, inputs)
        if losses.next_sentence is None:
            return losses.words
        return losses.words + losses.next_sentence

    def _get_train_sampler(self, *_: Any) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, self.budget.rate
            )
        return self.lr_scheduler
