"""What a fine-tuning run reads, opened and checked before anything is written."""

from dataclasses import dataclass
from pathlib import Path

import transformers

from bertedge import checkpoint as checkpoints
from bertedge.data import ExampleFile
from bertedge.errors import CheckpointError, SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import Data


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The labelled files and the base model, without its weights."""

    base: Path
    base_config: transformers.PretrainedConfig
    tokenizer: transformers.PreTrainedTokenizerFast
    train: ExampleFile
    dev: ExampleFile | None
    labels: tuple[str, ...]
    max_length: int
    teacher: checkpoints.Checkpoint | None


def open_inputs(config: FinetuneConfig, data: Data) -> Inputs:
    """Open and check the base model beside the data; a BertedgeError names each mistake."""
    teacher = _open_teacher(config, data.train, data.labels) if config.teacher else None
    base = checkpoints.open_base(config.base, words=config.task.tags_words)
    longest = base.longest
    if config.max_length and config.max_length > longest:
        raise SettingError(
            f"max_length is {config.max_length}, but {config.base} reads {longest} tokens at most"
        )
    layers = int(base.config.num_hidden_layers)
    if config.layers is not None and config.layers > layers:
        raise SettingError(f"layers is {config.layers}, but the teacher has {layers}")
    if isinstance(config.freeze, int) and config.freeze > layers:
        raise SettingError(f"freeze is {config.freeze}, but the model has {layers} layers")
    return Inputs(
        base=base.folder,
        base_config=base.config,
        tokenizer=base.tokenizer,
        train=data.train,
        dev=data.dev,
        labels=data.labels,
        teacher=teacher,
        max_length=config.max_length
        or (
            teacher.model.max_length if teacher else checkpoints.usual_length(config.task, longest)
        ),
    )


def _open_teacher(
    config: FinetuneConfig, train: ExampleFile, labels: tuple[str, ...]
) -> checkpoints.Checkpoint:
    """Open the teacher; CheckpointError where it was not trained for this very task."""
    teacher = checkpoints.open_checkpoint(config.base, config.task)
    if teacher.model.rule.problem_type is not config.problem_type:
        raise CheckpointError(
            f"{config.teacher} cannot teach this task: its problem_type is "
            f"{teacher.model.rule.problem_type}, not {config.problem_type}"
        )
    if teacher.model.labels != labels:
        odd = next(iter(set(labels) ^ set(teacher.model.labels)), "another order")
        raise CheckpointError(
            f"{config.teacher} cannot teach this task: its {len(teacher.model.labels)} labels are "
            f"not the {len(labels)} of {train.path} (see {odd!r}); train it on such data first"
        )
    return teacher
