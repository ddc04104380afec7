"""The pretraining loop: Hugging Face's Trainer over our rows, budget and checks."""

import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.trainer_callback import TrainerControl, TrainerState

from bertedge import serialization
from bertedge.errors import StoppedError
from bertedge.pretrain.batches import Frame, Item, Run, Split, collate
from bertedge.pretrain.budget import UNBOUNDED, Budget
from bertedge.pretrain.config import PretrainConfig
from bertedge.pretrain.held_out import Check, HeldOut
from bertedge.pretrain.model import Predictor, set_dropout
from bertedge.pretrain.rows import Rows
from bertedge.progress import Progress
from bertedge.training.config import Precision
from bertedge.training.precision import choose_precision
from bertedge.training.watch import Watch, interruptible
from bertedge.training.work import newest_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What goes into training."""

    model: transformers.PreTrainedModel
    rows: Rows
    split: Split
    frame: Frame
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


def train(config: PretrainConfig, material: Material, work: Path, progress: Progress) -> Trained:
    """Train the model in place until the budget is spent.

    States lie in `work`; the newest whole one there is continued from. Raises StoppedError after
    Ctrl-C, with the state saved.
    """
    model = material.model
    precision = choose_precision(config.precision)
    if config.dropout is not None:
        set_dropout(model, config.dropout)
    run = Run(material.rows, material.split.train, material.frame, seed=config.seed)
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
    predictor = Predictor(model)
    held_out = HeldOut(
        items=material.held_out,
        pad=material.frame.pad,
        batch_size=2 * config.batch_size,
        precision=precision,
    )
    state = newest_state(work, progress)
    pilot = Pilot(progress, budget, held_out, predictor, config, batch * config.max_length)
    pilot.resumed = state
    trainer = _Pretrainer(
        model=model,
        args=_arguments(config, work, precision, budget.steps),
        train_dataset=run,
        data_collator=partial(collate, pad=material.frame.pad),
        callbacks=[pilot],
    )
    trainer.predictor, trainer.budget = predictor, budget
    trainer.remove_callback(transformers.PrinterCallback)
    with interruptible(pilot):
        trainer.train(resume_from_checkpoint=None if state is None else str(state))
    progress.finish()
    steps = trainer.state.global_step
    if pilot.stopped:
        total = "" if budget.steps == UNBOUNDED else f" of {budget.steps}"
        raise StoppedError(
            f"interrupted at step {steps}{total}, "
            "which is saved: the same command with --resume continues there"
        )
    predictor.remove()
    return Trained(
        steps=steps,
        epochs=steps * batch / len(material.split.train),
        seconds=budget.seconds(),
        tokens_per_second=pilot.tokens_per_second,
        precision=precision,
        checks=checks_of(trainer.state),
    )


def count_steps(config: PretrainConfig, rows: int, batch: int) -> int:
    """Tell after how many steps the run ends if time does not end it before."""
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


class Pilot(Watch):
    """Shows progress, measures and saves along the run, and ends it."""

    def __init__(
        self,
        progress: Progress,
        budget: Budget,
        held_out: HeldOut,
        predictor: Predictor,
        config: PretrainConfig,
        tokens: int,
    ) -> None:
        super().__init__(progress, "perplexity")
        self._budget, self._held_out, self._predictor = budget, held_out, predictor
        self._checks, self._tokens, self._done = config.checks, tokens, 0
        self._trained_seconds = self._began = self._share = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Of this process's steps, checks left out."""
        return self._done * self._tokens / max(self._trained_seconds, 1e-9)

    def on_train_begin(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Start the clock where it stood, and measure what there is to begin with."""
        clock = [entry["clock"] for entry in state.log_history if "clock" in entry]
        self._budget.start(clock[-1] if clock else 0.0)
        if not state.global_step:
            self._check(state, model)
        if state.is_world_process_zero:
            timed = self._budget.steps == UNBOUNDED
            total = None if timed else self._budget.steps * self._tokens
            if state.global_step:
                self._progress.say(f"resuming at step {state.global_step}")
            done = state.global_step * self._tokens
            self._progress.start("pretraining", total, "tokens", done)
        self._share = self._budget.share(state.global_step)

    def on_step_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Note the time."""
        self._began = self._budget.seconds()

    def on_step_end(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Move the bar; measure and save at even shares of the run; stop at its end."""
        self._done += 1
        self._budget.tick()
        self._trained_seconds += self._budget.ticked - self._began
        share = self._budget.share(state.global_step)
        due = math.floor(share * self._checks) > math.floor(self._share * self._checks)
        self._share = share
        if state.is_world_process_zero:
            self._progress.advance(self._tokens, self._beside())
        if due:
            self._check(state, model)
        self.stopped = self.interrupted and share < 1.0
        control.should_training_stop = share >= 1.0 or self.stopped
        control.should_save = (due and share < 1.0) or self.stopped
        if control.should_save:
            state.log_history.append({"step": state.global_step, "clock": self._budget.seconds()})

    def _check(self, state: TrainerState, model: transformers.PreTrainedModel) -> None:
        if not state.is_world_process_zero:
            return
        seconds = self._budget.seconds()
        check = self._held_out.check(model, self._predictor, state.global_step, seconds)
        state.log_history.append({"step": check.step, "check": serialization.to_plain(check)})
        follows = check.next_sentence_accuracy
        also = "" if follows is None else f", next sentence {follows:.1%}"
        self._progress.say(
            f"step {check.step}: held-out perplexity {check.perplexity:,.2f}, "
            f"{check.accuracy:.1%} of the masked tokens right{also}"
        )

    def _beside(self) -> str:
        if self._budget.minutes is None:
            return self._note
        left = max(0, round(60 * self._budget.minutes - self._budget.ticked))
        return f"{self._note}, {left // 60}:{left % 60:02d} left".lstrip(", ")


class _Pretrainer(transformers.Trainer):
    """Trainer with our loss, our order of rows and our learning rate."""

    predictor: Predictor
    budget: Budget
    lr_scheduler: Any

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # Losses are means of their own batches; Trainer then divides by the accumulated ones.
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], *_: Any, **__: Any
    ) -> torch.Tensor:
        losses = self.predictor(model, inputs)
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


def _arguments(
    config: PretrainConfig, work: Path, precision: Precision, steps: int
) -> transformers.TrainingArguments:
    cuda = torch.cuda.is_available()
    return transformers.TrainingArguments(
        output_dir=str(work),
        max_steps=steps,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        learning_rate=config.peak_learning_rate,
        weight_decay=config.weight_decay,
        adam_beta2=0.98,  # as RoBERTa: the mean over 50 steps, not over 1,000
        adam_epsilon=1e-6,
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=precision is Precision.BF16,
        use_cpu=not cuda,
        ddp_backend="gloo" if "WORLD_SIZE" in os.environ and not cuda else None,
        ddp_find_unused_parameters=True,
        eval_strategy="no",
        save_strategy="no",
        logging_steps=10,
        remove_unused_columns=False,
        seed=config.seed,
        dataloader_pin_memory=cuda,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
    )
