"""A Hugging Face checkpoint: its task, labels and lengths, settled; and its model."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import transformers
from transformers.utils import logging

from bertedge.bundle import Source
from bertedge.bundle.checks import check_model
from bertedge.checkpoint.config import ARCHITECTURES, read_config
from bertedge.checkpoint.cross_encoder import is_cross_encoder, read_activation
from bertedge.checkpoint.embedding import MODULES, read_length, read_pooling
from bertedge.checkpoint.files import shown
from bertedge.checkpoint.folder import fetch
from bertedge.checkpoint.layers import (
    SetFit,
    check_layers,
    is_setfit,
    layer_files,
    read_setfit,
)
from bertedge.checkpoint.own_code import MEAN_POOLING
from bertedge.checkpoint.tokenizer import load_tokenizer, longest_input
from bertedge.checkpoint.training import TRAINING, Training, read_training
from bertedge.checkpoint.weights import check_weights, plain_name, read_source
from bertedge.errors import CheckpointError, SettingError, library_errors, shorten
from bertedge.joint_labels import has_intents
from bertedge.libraries import has_torch
from bertedge.serialization import RecordError
from bertedge.spec import (
    Activation,
    DecisionRule,
    LabelKind,
    ModelSpec,
    Pooling,
    PoolingMode,
    ProblemType,
    Task,
)
from bertedge.tasks import find_task, task_module
from bertedge.zero_shot import find_entailment

LONGEST_USUAL = 512
"""Tokens of other texts: attention of 8,192 tokens, which some models read, takes gigabytes."""
LONGEST_WINDOW = 384
"""Tokens of a question with a window of its context: as in the BERT paper and in transformers'
pipeline, which reads no longer ones."""

_BUILT = {"deberta-v2": {"conv_kernel_size": 0, "relative_attention": True}}
"""What an architecture must have for its graph to be built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An opened checkpoint for a task; its weights are not loaded yet."""

    folder: Path
    name: str
    model: ModelSpec
    tokenizer_json: str
    """In the format of `tokenizers`, padding and truncation switched off."""
    training: Training | None
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """An opened model to train from; its weights are not loaded yet."""

    folder: Path
    config: transformers.PretrainedConfig
    tokenizer: transformers.PreTrainedTokenizerFast
    longest: int
    """Tokens that it reads at most."""
    pooling: PoolingMode | None
    """What it was trained to be read by, where its folder says so."""


def open_checkpoint(
    name: str,
    task: Task | None = None,
    *,
    pooling: PoolingMode | None = None,
    max_length: int | None = None,
    activation: Activation | None = None,
) -> Checkpoint:
    """Read a fine-tuned checkpoint, or any encoder for its embeddings, from a directory or hub id.

    `task` settles what the config leaves open; `pooling`, `max_length` and `activation` win over
    what the folder says of them. SettingError for a `max_length` beyond the model's positions.
    Raises CheckpointError for a checkpoint that is missing, incomplete, pickled, without a head
    for the task, of an unsupported architecture, or with a value or a weight that cannot be.
    """
    folder = fetch(name)
    config = read_config(folder)
    # Any encoder gives embeddings, whatever it was trained for.
    training = None if task and task.labels_are is LabelKind.VECTOR else read_training(folder)
    setfit = None if training else _setfit_of(folder, task)
    found = training.model.task if training else _task_of(config, folder, task, setfit)
    if task is not None and task != found:
        raise CheckpointError(f"{shown(name)} is a checkpoint for {found}, not for {task}")
    embeds = found.labels_are is LabelKind.VECTOR
    labels = setfit.labels if setfit else _labels_of(config, found)
    rule = training.model.rule if training else _rule_of(folder, config, found, activation)
    if setfit is not None:
        rule = DecisionRule(problem_type=setfit.problem_type)
    _check_labels(shown(name), found, labels, rule.problem_type)
    tokenizer = load_tokenizer(folder, config)
    longest = longest_input(config, tokenizer)
    if max_length is not None and max_length > longest:
        raise SettingError(
            f"max_length is {max_length:,}, but {shown(name)} reads {longest:,} at most"
        )
    if training:
        _check_training(folder, training, labels, longest)
    own = _pooling(folder, pooling, setfit) if embeds or setfit else None
    if has_torch():
        check_weights(folder, config, loading_class(found, config, own), whole=True)
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    model = ModelSpec(
        task=found,
        labels=labels,
        pair=training.model.pair if training else _reads_pairs(folder, found, labels),
        max_length=max_length
        or (
            training.model.max_length
            if training
            else usual_length(found, _longest(folder, longest, embeds=own is not None))
        ),
        pad_token_id=int(tokenizer.pad_token_id),
        rule=rule,
        pooling=own,
        classifier_pooling=PoolingMode.MEAN
        if found.labels_are is LabelKind.CLASSES and pools_mean(config)
        else None,
    )
    try:
        check_model(model)
    except RecordError as error:
        raise CheckpointError(f"{shown(name)}/config.json: {error}; fix its id2label") from None
    check_layers(folder, model, int(config.hidden_size))
    return Checkpoint(
        folder=folder,
        name=plain_name(name),
        model=model,
        tokenizer_json=backend.to_str(pretty=True),
        training=training,
        source=read_source(folder, config, name, layer_files(folder, model)),
    )


def model_class(
    task: Task, config: transformers.PretrainedConfig, pooling: PoolingMode | None = None
) -> Any:
    """Return the class that loads a model with the task's head.

    That is an Auto class of transformers, but for classifiers on pooled hidden states, which
    `pooling` asks for, or else the config.
    """
    pools = pooling is PoolingMode.MEAN or (pooling is None and pools_mean(config))
    if pools and task.labels_are is LabelKind.CLASSES:
        from bertedge.checkpoint.mean_pooling import mean_pooling_class

        kind: Any = type(config)
        return mean_pooling_class(kind)
    return getattr(transformers, task_module(task).AUTO_MODEL)


def loading_class(
    task: Task, config: transformers.PretrainedConfig, pooling: Pooling | None
) -> Any:
    """Return the class that loads a model's own weights: of one with a pooling the encoder's."""
    return model_class(task, config) if pooling is None else transformers.AutoModel


def pools_mean(config: transformers.PretrainedConfig) -> bool:
    """Return whether a config is that of a classifier on the mean of hidden states."""
    return MEAN_POOLING in (config.architectures or ())


def usual_length(task: Task, longest: int) -> int:
    """Return how many tokens a model is given where nobody says so, of the `longest` input."""
    most = LONGEST_WINDOW if task.labels_are is LabelKind.SPANS else LONGEST_USUAL
    return min(longest, most)


def open_base(name: str, *, words: bool = False) -> Base:
    """Read a model to train from, of a directory or hub id; `words` as for `load_tokenizer`.

    Raises CheckpointError as `open_checkpoint`, but asks for no head and no task.
    """
    folder = fetch(name)
    config = read_config(folder)
    _check_form(shown(name), config)
    tokenizer = load_tokenizer(folder, config, words=words)
    longest = longest_input(config, tokenizer)
    check_weights(folder, config, transformers.AutoModel, whole=False)
    return Base(
        folder=folder,
        config=config,
        tokenizer=tokenizer,
        longest=longest,
        pooling=_base_pooling(folder, config),
    )


def _check_form(name: str, config: transformers.PretrainedConfig) -> None:
    """Raise CheckpointError for an architecture, or a form of one, that is not trained here."""
    if config.model_type not in ARCHITECTURES:
        raise CheckpointError(
            f"{name} has the architecture {config.model_type!r}, which is exported and run here, "
            "not trained; train it elsewhere, or choose another"
        )
    for key, wanted in _BUILT.get(config.model_type, {}).items():
        found = getattr(config, key, wanted)
        if found != wanted:
            raise CheckpointError(
                f"{name} has a {key} of {found!r}; models of that form are not trained here, for "
                f"they cannot be exported: choose one with {wanted!r}, such as deberta-v3"
            )


def load_base(
    folder: Path, config: transformers.PretrainedConfig, kind: Any
) -> tuple[transformers.PreTrainedModel, set[str]]:
    """Load weights to train on, fp32, by an Auto class; give the names of what is made new."""
    model, info = _load(folder, config, kind, ignore_mismatched_sizes=True)
    mismatched = info["mismatched_keys"]  # names; of transformers 5 with the shapes
    names = (each if isinstance(each, str) else each[0] for each in mismatched)
    return model, {*info["missing_keys"], *names}


def load_model(checkpoint: Checkpoint, *, trained: bool = False) -> transformers.PreTrainedModel:
    """Load the weights, fp32, in evaluation mode; CheckpointError where any are missing.

    It is that which engines run (`row_model`), or with `trained` that which was trained.
    """
    from bertedge.checkpoint.row_models import row_model

    config = read_config(checkpoint.folder)
    kind = loading_class(checkpoint.model.task, config, checkpoint.model.pooling)
    model, info = _load(checkpoint.folder, config, kind)
    missing = sorted(info["missing_keys"])
    if checkpoint.model.pooling is not None:
        missing = [name for name in missing if not name.startswith("pooler.")]
    if missing:
        raise CheckpointError(
            f"{shown(checkpoint.folder)} lacks {len(missing)} of its tensors, such as "
            f"{missing[0]}; the file is incomplete, or the model was never fine-tuned"
        )
    if trained:
        return model.eval()
    return row_model(model, checkpoint.model, checkpoint.folder).eval()


def _load(
    folder: Path, config: transformers.PretrainedConfig, kind: Any, **options: bool
) -> tuple[transformers.PreTrainedModel, dict[str, Any]]:
    import torch

    with library_errors(f"{shown(folder)} cannot be loaded"), _unsaid():
        model, info = kind.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=torch.float32,
            **options,
        )
    return model, info


@contextlib.contextmanager
def _unsaid() -> Iterator[None]:
    """Keep off the screen what transformers says of missing tensors: it is looked at here."""
    before, shown_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # transformers 5 has one for the weights
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if shown_bars:
            logging.enable_progress_bar()


def _setfit_of(folder: Path, asked: Task | None) -> SetFit | None:
    """Read a SetFit folder; None where it is none, or embeddings alone are asked for."""
    embeds = asked is not None and asked.labels_are is LabelKind.VECTOR
    return read_setfit(folder) if is_setfit(folder) and not embeds else None


def _task_of(
    config: transformers.PretrainedConfig, folder: Path, asked: Task | None, setfit: SetFit | None
) -> Task:
    if setfit is not None:
        return Task.of(LabelKind.CLASSES)
    if asked is not None and asked.labels_are is LabelKind.VECTOR:
        return asked
    names = config.architectures or ()
    task = find_task(names)
    if task is None and (folder / MODULES).exists():
        return Task.of(LabelKind.VECTOR)
    if task is None:
        raise CheckpointError(
            f"{shown(folder)} is a {shorten(', '.join(names), 60) or 'model'} without a head for "
            "a task; fine-tune it first: bertedge finetune --model DIRECTORY …, or take its "
            f"embeddings with --task {Task.of(LabelKind.VECTOR)}"
        )
    joint = task.labels_are is LabelKind.TAGS and has_intents(_labels_of(config, task))
    return Task.of(LabelKind.INTENT_AND_TAGS) if joint else task


def _labels_of(config: transformers.PretrainedConfig, task: Task) -> tuple[str, ...]:
    if task.fixed_labels is not None:  # a config may name them as it likes
        return task.fixed_labels
    return tuple(str(config.id2label[i]) for i in range(config.num_labels))


def _reads_pairs(folder: Path, task: Task, labels: tuple[str, ...]) -> bool:
    """Return whether inputs are pairs, as far as a checkpoint without a record tells."""
    if task.labels_are is not LabelKind.CLASSES:
        return task.reads_pairs
    return find_entailment(labels) is not None or is_cross_encoder(folder)


def _longest(folder: Path, positions: int, *, embeds: bool) -> int:
    told = read_length(folder) if embeds else None
    return positions if told is None else min(positions, told)


def _pooling(folder: Path, mode: PoolingMode | None, setfit: SetFit | None) -> Pooling:
    pooling = read_pooling(folder, mode)
    if setfit is None:
        return pooling
    told = (folder / MODULES).exists() and pooling.normalized
    return replace(pooling, normalized=told or setfit.normalized)


def _base_pooling(folder: Path, config: transformers.PretrainedConfig) -> PoolingMode | None:
    """Return the pooling that a base was trained with; None where nothing is known of it."""
    if pools_mean(config):
        return PoolingMode.MEAN
    try:
        return read_pooling(folder).mode if (folder / MODULES).exists() else None
    except CheckpointError:  # it ends with what only its embeddings need
        return None


def _rule_of(
    folder: Path,
    config: transformers.PretrainedConfig,
    task: Task,
    activation: Activation | None,
) -> DecisionRule:
    """Read the problem type as transformers infers it where the config leaves it open.

    Only labels of whole texts have one: a cross-encoder's config, say, tells nothing of embeddings.
    """
    if task.labels_are is not LabelKind.CLASSES:
        return DecisionRule()
    one = config.num_labels == 1
    inferred = ProblemType.REGRESSION if one else ProblemType.SINGLE_LABEL
    problem_type = ProblemType(config.problem_type or inferred)
    if problem_type is not ProblemType.REGRESSION:
        return DecisionRule(problem_type=problem_type)
    if activation is None and is_cross_encoder(folder):
        activation = read_activation(folder)
    return DecisionRule(problem_type=problem_type, activation=activation or Activation.IDENTITY)


def _check_training(
    folder: Path, training: Training, labels: tuple[str, ...], longest: int
) -> None:
    """Hold training.json against the model beside it."""
    path = shown(folder / TRAINING)
    if training.model.labels != labels:
        odd = next(iter(set(labels) ^ set(training.model.labels)), "another order")
        raise CheckpointError(
            f"{path} has other labels than config.json (see {shorten(odd, 40)!r}); copy the "
            "checkpoint again"
        )
    if not 1 <= training.model.max_length <= longest:
        raise CheckpointError(
            f"{path}: max_length is {training.model.max_length:,}; it must be from 1 to {longest:,}"
        )
    if not training.model.rule.temperature > 0:
        raise CheckpointError(
            f"{path}: temperature is {training.model.rule.temperature:g}; it must be above 0"
        )


def _check_labels(
    name: str, task: Task, labels: tuple[str, ...], problem_type: ProblemType
) -> None:
    if task.labels_are is not LabelKind.CLASSES:
        return
    one, regression = len(labels) == 1, problem_type is ProblemType.REGRESSION
    if regression and not one:
        raise CheckpointError(
            f"{name} gives {len(labels)} values to a text; regression to one is supported"
        )
    if one and problem_type is ProblemType.SINGLE_LABEL:
        raise CheckpointError(
            f"{name} has the one label {labels[0]!r} for every text; set problem_type in its "
            f"config.json to {ProblemType.MULTI_LABEL} or {ProblemType.REGRESSION}"
        )
