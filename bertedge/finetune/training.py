"""The training loop: Hugging Face's Trainer, with our settings, progress and interrupts."""

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import accelerate
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
from bertedge.finetune.multi_task_trainer import MEAN, TrainedTask, equivalent_rows, make_trainer
from bertedge.finetune.objectives import OBJECTIVES
from bertedge.finetune.optimizers import optimizer_of, schedule_of
from bertedge.finetune.settings.few_shot import FewShot
from bertedge.finetune.settings.regularization import Adversarial
from bertedge.finetune.settings.trained import AUTO
from bertedge.finetune.trained_parameters import (
    ParameterCounts,
    count_parameters,
    select_parameters,
)
from bertedge.finetune.weight_average import weight_average
from bertedge.progress import Progress
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import ModelSpec
from bertedge.tasks import trainable_task
from bertedge.training.arguments import training_arguments
from bertedge.training.callbacks import ProgressCallback, interruptible
from bertedge.training.config import Precision
from bertedge.training.curves import render_curves, tensorboard_callbacks
from bertedge.training.precision import choose_precision
from bertedge.training.run_directory import newest_state, step_of


class EpochSampler(Protocol):
    """The numbers of an epoch's rows."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __iter__(self) -> Iterator[int]:
        """Yield them."""


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
    head_seconds: float = 0.0
    """What it took to find where the head starts."""
    augmenter: Augmenter | None = None
    sampler: EpochSampler | None = None
    """Of an epoch's rows, where it has not all of them."""
    tasks: "Mapping[str, tuple[FinetuneConfig, Material]]" = field(default_factory=dict)
    """Where one encoder is trained for several: what it would be trained on for each alone."""


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
    model, chosen = material.model, material.hyperparameters
    tasks = material.tasks or {"": (config, material)}
    data = [each for _, own in tasks.values() for each in (own.train, own.dev) if each]
    scored = [own.dev.rows for _, own in tasks.values() if own.dev]
    metric = MEAN if material.tasks else _metric(config)
    select_parameters(model, config)
    merge = adapt(model, material.tokenizer, config)
    parameters = count_parameters(model)
    if config.few_shot is FewShot.CONTRASTIVE:  # the encoder was trained before
        parameters = replace(parameters, trained=parameters.all)
    if accelerate.PartialState().is_main_process:
        progress.say(str(parameters))
    precision = choose_precision(config.precision)
    rows = len(material.sampler) if material.sampler else material.train.epoch_rows
    steps = math.ceil(rows / (chosen.batch_size * config.gradient_accumulation_steps))
    state = newest_state(work, progress)
    attack = None if config.adversarial is Adversarial.NONE else Attack(config)
    parts = [_part(name, its, own, attack) for name, (its, own) in tasks.items()]
    also = [f"{part.name}_{part.metric}" for part in parts if part.dev and material.tasks]
    callback = ProgressCallback(progress, metric, state, every=chosen.evaluate_every, also=also)
    average = weight_average(config, state)
    callbacks: list[Any] = [average] if average else []  # before the one that seals what is saved
    callbacks += [part.augmenter for part in parts if part.augmenter]
    callbacks += _callbacks(config, chosen, callback, evaluated=bool(scored))
    arguments = _arguments(
        config, chosen, work, precision, metric=metric if scored else None, steps=steps
    )
    if state is not None:
        arguments.num_train_epochs = _epochs(state, chosen.epochs)
    trainer = make_trainer(
        parts,
        layer_decay=chosen.layer_decay,
        average=average,
        optimizer_cls_and_kwargs=optimizer_of(config.optimizer, model),
        model=model,
        args=arguments,
        processing_class=material.tokenizer,
        callbacks=[*callbacks, *watchers],
    )
    trainer.sampler = material.sampler
    trainer.scored_rows = equivalent_rows(scored) if scored and chosen.prefer_later else None
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
        embedding_subset(model, data),
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
        best_epoch=best / max(steps, 1) if scored and best else None,
        best_score=trainer.state.best_metric if scored else None,
        seconds=float(result.metrics["train_runtime"]),
        precision=precision,
        curves=render_curves(trainer.state.log_history),
        trained_layers=freezing.trained_layers if freezing else (),
        parameters=parameters,
    )


def _part(
    name: str, config: FinetuneConfig, material: Material, attack: Attack | None
) -> TrainedTask:
    """Return what the trainer is given of a task."""
    task, teachers = OBJECTIVES[config.task], material.teachers
    objective = task.make(config, material.train, material.spec.labels)
    hidden = bool(teachers) and comparable(material.model, teachers[0])
    return TrainedTask(
        name=name,
        metric=_metric(config),
        label_loss=objective.label_loss,
        terms=loss_terms(config, objective, teachers, hidden=hidden, attack=attack),
        hidden_states=hidden,
        collator=task.collator(material.tokenizer),
        compute_metrics=_metrics(config, material),
        train=material.train.data,
        dev=material.dev.data if material.dev else None,
        augmenter=material.augmenter,
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
    metric: str | None,
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
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        label_names=["labels"],
        eval_strategy="epoch" if metric else "no",
        save_strategy="epoch",
        restore_callback_states_from_checkpoint=True,  # how long early stopping has waited
        load_best_model_at_end=metric is not None,
        metric_for_best_model=metric,
        greater_is_better=True if metric else None,
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
