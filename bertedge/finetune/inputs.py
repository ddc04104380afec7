"""What a fine-tuning run reads, opened and checked before anything is written."""

from dataclasses import dataclass
from pathlib import Path

import transformers

from bertedge import checkpoint as checkpoints
from bertedge.data import ExampleFile
from bertedge.errors import CheckpointError, SettingError
from bertedge.finetune.data import Data
from bertedge.finetune.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The labelled files and the base model, without its weights."""

    base: Path
    config: transformers.PretrainedConfig
    tokenizer: transformers.PreTrainedTokenizerFast
    train: ExampleFile
    dev: ExampleFile | None
    labels: tuple[str, ...]
    max_length: int
    teacher: checkpoints.Checkpoint | None


def open_inputs(recipe: Recipe, data: Data) -> Inputs:
    """Open and check the base model beside the data; a BertedgeError names each mistake."""
    teacher = _open_teacher(recipe, data.train, data.labels) if recipe.teacher else None
    base = checkpoints.open_base(recipe.base, words=recipe.task.tags_words)
    longest = base.longest
    if recipe.max_length and recipe.max_length > longest:
        raise SettingError(
            f"max_length is {recipe.max_length}, but {recipe.base} reads {longest} tokens at most"
        )
    layers = int(base.config.num_hidden_layers)
    if recipe.layers is not None and recipe.layers > layers:
        raise SettingError(f"layers is {recipe.layers}, but the teacher has {layers}")
    if isinstance(recipe.freeze, int) and recipe.freeze > layers:
        raise SettingError(f"freeze is {recipe.freeze}, but the model has {layers} layers")
    return Inputs(
        base=base.folder,
        config=base.config,
        tokenizer=base.tokenizer,
        train=data.train,
        dev=data.dev,
        labels=data.labels,
        teacher=teacher,
        max_length=recipe.max_length
        or (
            teacher.model.max_length if teacher else checkpoints.usual_length(recipe.task, longest)
        ),
    )


def _open_teacher(
    recipe: Recipe, train: ExampleFile, labels: tuple[str, ...]
) -> checkpoints.Checkpoint:
    """Open the teacher; CheckpointError where it was not trained for this very task."""
    teacher = checkpoints.open_checkpoint(recipe.base, recipe.task)
    if teacher.model.rule.problem_type is not recipe.problem_type:
        raise CheckpointError(
            f"{recipe.teacher} cannot teach this task: its problem_type is "
            f"{teacher.model.rule.problem_type}, not {recipe.problem_type}"
        )
    if teacher.model.labels != labels:
        odd = next(iter(set(labels) ^ set(teacher.model.labels)), "another order")
        raise CheckpointError(
            f"{recipe.teacher} cannot teach this task: its {len(teacher.model.labels)} labels are "
            f"not the {len(labels)} of {train.path} (see {odd!r}); train it on such data first"
        )
    return teacher
