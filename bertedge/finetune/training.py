"""The training loop: Hugging Face's Trainer, with our settings, progress and interrupts."""

import contextlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import accelerate
import torch
import transformers

from bertedge.data import ExampleFile
from bertedge.errors import StoppedError
from bertedge.finetune.adapters import adapt
from bertedge.finetune.adversarial import Attack
from bertedge.finetune.augmentation import Augmenter
from bertedge.finetune.auto_freeze import AutoFreeze
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.defaults import Hyperparameters
from bertedge.finetune.distill import comparable
from bertedge.finetune.embedding_subset import embedding_subset
from bertedge.finetune.features import Features
from bertedge.finetune.gradual_unfreezing import GradualUnfreezing
from bertedge.finetune.losses import loss_terms
from bertedge.finetune.mixout import mixout
from bertedge.finetune.objectives import OBJECTIVES
from bertedge.finetune.optimizers import SCHEDULERS, optimizer_of, schedule_of
from bertedge.finetune.settings.regularization import Adversarial
from bertedge.finetune.settings.trained import AUTO
from bertedge.finetune.trained_parameters import (
    ParameterCounts,
    count_parameters,
    select_parameters,
)
from bertedge.finetune.trainer import FinetuneTrainer
from bertedge.finetune.weight_average import weight_average
from bertedge.progress import Progress
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import ModelSpec
from bertedge.tasks import trainable_task
from bertedge.training.arguments import training_arguments
from bertedge.training.callbacks import ProgressCallback, interruptible
from bertedge.training.config import Precision
from bertedge.training.curves import render_curves, tensorboard_callbacks
from bertedge.training.dropout import set_dropout
from bertedge.training.precision import choose_precision
from bertedge.training.run_directory import newest_state, step_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What goes into training."""

    model: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerFast
    spec: ModelSpec
    hyperparameters: Hyperparameters
    train: Features
    dev: Features | None
    teachers: Sequence[transformers.PreTrainedModel]
    graded: tuple[Tokenizer, ExampleFile] | None = None
    """The dev data, and what tokenized it."""
    augmenter: Augmenter | None = None
    sampler: torch.utils.data.Sampler[int] | None = None
    """Of an epoch's rows, where it has not all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How training ended; the model holds the best weights."""

    epochs: float
    best_epoch: float | None
    best_score: float | None
    """The dev metric of the best epoch, as training scores it."""
    seconds: float
    precision: Precision
    curves: str
    """Loss, learning rate and dev metric along the run, as CSV."""
    trained_layers: tuple[int, ...]
    """How many at the end of each epoch, where they are frozen along the run."""
    parameters: ParameterCounts


def train(
    config: FinetuneConfig,
    material: Material,
    work: Path,
    progress: Progress,
    watchers: Sequence[transformers.TrainerCallback] = (),
) -> Trained:
    """Train the model in place, choosing the best epoch on the dev data where there is any.

    Checkpoints lie in `work`; the newest whole one there is continued from. `watchers` may end
    the training before its end. Raises StoppedError after Ctrl-C, with the state saved.
    """
    model, train_data, dev = material.model, material.train, material.dev
    chosen = material.hyperparameters
    if config.dropout is not None:
        set_dropout(model, config.dropout)
    select_parameters(model, config)
    merge = adapt(model, material.tokenizer, config)
    parameters = count_parameters(model)
    if accelerate.PartialState().is_main_process:
        progress.say(str(parameters))
    precision = choose_precision(config.precision)
    steps = math.ceil(
        train_data.epoch_rows / (chosen.batch_size * config.gradient_accumulation_steps)
    )
    state = newest_state(work, progress)
    callback = ProgressCallback(progress, _metric(config), state, every=chosen.evaluate_every)
    average = weight_average(config, state)
    callbacks: list[Any] = [average] if average else []  # before the one that seals what is saved
    callbacks += [material.augmenter] if material.augmenter else []
    callbacks += _callbacks(config, chosen, callback, evaluated=dev is not None)
    rows = OBJECTIVES[config.task]
    objective = rows.make(config, train_data, material.spec.labels)
    hidden = bool(material.teachers) and comparable(model, material.teachers[0])
    attack = None if config.adversarial is Adversarial.NONE else Attack(config)
    arguments = _arguments(config, chosen, work, precision, evaluated=dev is not None, steps=steps)
    if state is not None:
        arguments.num_train_epochs = _epochs(state, chosen.epochs)
    trainer = FinetuneTrainer(
        label_loss=objective.label_loss,
        terms=loss_terms(config, objective, material.teachers, hidden=hidden, attack=attack),
        layer_decay=chosen.layer_decay,
        output_hidden_states=hidden,
        average=average,
        augmenter=material.augmenter,
        optimizer_cls_and_kwargs=optimizer_of(config.optimizer, model),
        model=model,
        args=arguments,
        train_dataset=train_data.data,
        eval_dataset=dev.data if dev else None,
        data_collator=rows.collator(material.tokenizer),
        processing_class=material.tokenizer,
        compute_metrics=_metrics(config, material),
        callbacks=[*callbacks, *watchers],
    )
    trainer.sampler = material.sampler
    trainer.scored_rows = dev.rows if dev and chosen.prefer_later else None
    trainer.schedule = schedule_of(config.lr_scheduler, chosen.warmup_ratio)
    freezing = None
    if config.freeze == AUTO:
        freezing = AutoFreeze(trainer, work, progress, state)
    trainer.remove_callback(transformers.PrinterCallback)
    if arguments.process_index == 0:
        done = 0 if state is None else step_of(state)
        for each in tensorboard_callbacks(config.log_dir, done):
            trainer.add_callback(each)
    with (
        interruptible(callback),
        embedding_subset(model, [train_data, dev] if dev else [train_data]),
        attack.on(model) if attack else contextlib.nullcontext(),
        mixout(model, config.mixout) if config.mixout else contextlib.nullcontext(),
    ):
        result = trainer.train(resume_from_checkpoint=None if state is None else str(state))
    if config.gradient_checkpointing:
        model.gradient_checkpointing_disable()
    # Without the bf16 that Trainer has put around the model, which what is to come does not want.
    trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    progress.finish()
    if callback.stopped:
        raise StoppedError(
            f"interrupted at step {trainer.state.global_step} of {trainer.state.max_steps}, "
            "which is saved: the same command with --resume continues there"
        )
    merge()
    best = trainer.state.best_global_step
    return Trained(
        epochs=float(trainer.state.epoch or 0.0),
        best_epoch=best / max(steps, 1) if dev and best else None,
        best_score=trainer.state.best_metric if dev else None,
        seconds=float(result.metrics["train_runtime"]),
        precision=precision,
        curves=render_curves(trainer.state.log_history),
        trained_layers=freezing.trained_layers if freezing else (),
        parameters=parameters,
    )


def _metric(config: FinetuneConfig) -> str:
    """Return the dev metric that chooses the best epoch."""
    return trainable_task(config.task).metric(config.decision())


def _arguments(
    config: FinetuneConfig,
    chosen: Hyperparameters,
    work: Path,
    precision: Precision,
    *,
    evaluated: bool,
    steps: int,
) -> transformers.TrainingArguments:
    return training_arguments(
        config,
        work,
        precision,
        num_train_epochs=chosen.epochs,
        per_device_train_batch_size=chosen.batch_size,
        per_device_eval_batch_size=chosen.batch_size * 2,
        weight_decay=chosen.weight_decay,
        learning_rate=chosen.learning_rate,
        lr_scheduler_type=SCHEDULERS.get(config.lr_scheduler, "linear"),
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        warmup_ratio=chosen.warmup_ratio,
        group_by_length=True,
        length_column_name="length",
        label_names=["labels"],
        eval_strategy="epoch" if evaluated else "no",
        save_strategy="epoch",
        restore_callback_states_from_checkpoint=True,  # how long early stopping has waited
        load_best_model_at_end=evaluated,
        metric_for_best_model=_metric(config) if evaluated else None,
        greater_is_better=True if evaluated else None,
        logging_steps=max(1, min(25, steps // 10)),
    )


def _epochs(state: Path, epochs: float) -> float:
    """Return the epochs of a resumed run; where all steps were done, so many that none follows."""
    found = json.loads((state / "trainer_state.json").read_text(encoding="utf-8"))
    early = found["stateful_callbacks"].get("EarlyStoppingCallback")
    waited = early["attributes"]["early_stopping_patience_counter"] if early else 0
    ended = early and waited >= early["args"]["early_stopping_patience"]
    done = ended or found["global_step"] >= found["max_steps"]
    return math.floor(found["epoch"]) if done else epochs


def _callbacks(
    config: FinetuneConfig,
    chosen: Hyperparameters,
    callback: ProgressCallback,
    *,
    evaluated: bool,
) -> list[Any]:
    patience = chosen.early_stopping_patience if evaluated else 0
    early = [transformers.EarlyStoppingCallback(patience)] if patience else []
    share = config.gradual_unfreezing
    unfreezing = [] if share is None else [GradualUnfreezing(share)]
    return [callback, *early, *unfreezing]


def _metrics(
    config: FinetuneConfig, material: Material
) -> Callable[[transformers.EvalPrediction], dict[str, float]]:
    task = trainable_task(config.task)

    def compute(prediction: transformers.EvalPrediction) -> dict[str, float]:
        assert material.graded is not None
        found = (prediction.label_ids, prediction.predictions)
        scores = task.training_scores(material.spec, *found, material.graded)
        return {scores.metric: scores.value}

    return compute
