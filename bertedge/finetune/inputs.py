"""What a fine-tuning run reads, opened and checked before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import transformers

from bertedge import checkpoint as checkpoints
from bertedge.checkpoint.opening import Base
from bertedge.data import ExampleFile
from bertedge.errors import CheckpointError, SettingError
from bertedge.finetune.adapters import import_peft
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import Data
from bertedge.finetune.layers import count_layers
from bertedge.finetune.old_task import OldTask
from bertedge.finetune.settings.adapters import ADAPTER
from bertedge.finetune.settings.trained import AUTO
from bertedge.finetune.trained_parameters import lowest_depth
from bertedge.finetune.virtual_tokens import add_virtual_tokens
from bertedge.spec import LabelKind, PoolingMode, ProblemType
from bertedge.tasks import find_task


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The labelled files, the base model and the teachers, without their weights."""

    base: Path
    base_config: transformers.PretrainedConfig
    tokenizer: transformers.PreTrainedTokenizerFast
    train: ExampleFile
    dev: ExampleFile | None
    labels: tuple[str, ...]
    max_length: int
    teachers: tuple[checkpoints.Checkpoint, ...]
    pooling: PoolingMode | None
    """Which hidden states a classifier of texts reads; None: its architecture's own head."""
    pooling_open: bool = False
    """Whether that is to be chosen on the training data."""
    renamed: bool = False
    """Whether a head of as many labels that the base may have knows others, or in another order."""
    adapted: Path | None = None
    """The base, pretrained on the task's texts."""
    old: OldTask | None = None
    """What the base was trained on before, where that is to be kept in mind."""
    unlabelled: ExampleFile | None = None
    """Texts to be labelled by a model."""
    pseudo_labelled: ExampleFile | None = None
    """Those of them that are trained on, too, with the labels that they were given."""


def open_inputs(config: FinetuneConfig, data: Data) -> Inputs:
    """Open and check the base model beside the data; a BertedgeError names each mistake."""
    if config.peft not in (None, ADAPTER):
        import_peft()
    teachers = [_open_teacher(name, config, data) for name in config.teacher]
    base = checkpoints.open_base(config.base, words=config.task.tags_words)
    read = {config.base: base.longest}
    for name in config.teacher:
        read[name] = _check_teacher(name, config.base, base, pair=data.train.pair)
    shortest = min(read, key=lambda name: read[name])
    longest = read[shortest]
    if config.max_length and config.max_length > longest:
        raise SettingError(
            f"max_length is {config.max_length}, but {shortest} reads {longest} tokens at most"
        )
    layers = int(base.config.num_hidden_layers)
    if config.layers is not None and config.layers > layers:
        whose = "the teacher" if config.model is None else config.model
        raise SettingError(f"layers is {config.layers}, but {whose} has {layers}")
    known = [*teachers, *([data.old.checkpoint] if data.old else [])]
    usual = [each.model.max_length for each in known] or [
        checkpoints.usual_length(config.task, longest)
    ]
    _check_techniques(config, base)
    layers = _own_layers(config, base)
    max_length = config.max_length or min([longest, *usual])
    if config.num_virtual_tokens is not None:
        _add_virtual_tokens(base.tokenizer, config.num_virtual_tokens, max_length)
    if config.reinit_layers and lowest_depth(config, layers) > layers + 1 - config.reinit_layers:
        name = "freeze" if config.train_layers is None else "train_layers"
        raise SettingError(
            f"reinit_layers is {config.reinit_layers} of {layers}, but {name} is "
            f"{getattr(config, name)}: layers would stay random; change one of them"
        )
    return Inputs(
        base=base.folder,
        base_config=base.config,
        tokenizer=base.tokenizer,
        train=data.train,
        dev=data.dev,
        labels=data.labels,
        teachers=tuple(teachers),
        pooling=_pooling(config, base, teachers),
        pooling_open=_pooling_open(config, base),
        renamed=_renamed(config, base, data.labels),
        old=data.old,
        unlabelled=data.unlabelled,
        max_length=max_length,
    )


def _own_layers(config: FinetuneConfig, base: Base) -> int:
    """Return how many layers have weights of their own; SettingError where more are asked for."""
    runs = config.layers or int(base.config.num_hidden_layers)
    layers = min(runs, count_layers(base.config))
    told = f"{layers} layers" if layers == runs else f"weights for {layers} of its {runs} layers"
    for name in ("freeze", "train_layers", "reinit_layers"):
        value = getattr(config, name)
        if isinstance(value, int) and value > layers:
            raise SettingError(f"{name} is {value}, but the model has {told}")
    return layers


def _check_techniques(config: FinetuneConfig, base: Base) -> None:
    """Raise SettingError for what the base's architecture has no place for."""
    built = base.config
    if config.freeze == AUTO and count_layers(built) < built.num_hidden_layers:
        raise SettingError(
            f"freeze is auto, but the layers of {built.model_type} share their weights, so that "
            "none settles before another; give --train-layers, or leave it out"
        )
    biases = ("attention_bias", "mlp_bias", "norm_bias")
    if config.bitfit and not any(getattr(built, name, True) for name in biases):
        raise SettingError(
            f"--bitfit trains the biases of layers, and those of {config.base} have none; take "
            "--peft lora, or --train-layers"
        )


def _pooling(
    config: FinetuneConfig, base: Base, teachers: Sequence[checkpoints.Checkpoint]
) -> PoolingMode | None:
    """Return what a classifier reads; one cut from a teacher has the teacher's head."""
    if config.task.labels_are is not LabelKind.CLASSES:
        return None
    if config.model is None:
        own = teachers[0].model.classifier_pooling
        if config.pooling not in (None, own or PoolingMode.CLS):
            raise SettingError(
                f"pooling is {config.pooling}, but the student has the head of {config.base}; "
                "leave it out"
            )
        return own
    if config.learns_from_few:
        return PoolingMode.MEAN
    mode = base.pooling if config.pooling is None else config.pooling
    return mode if mode is PoolingMode.MEAN else None


def _pooling_open(config: FinetuneConfig, base: Base) -> bool:
    """Return whether nobody says what is read: a base that was a classifier keeps its head."""
    texts = config.task.labels_are is LabelKind.CLASSES
    was = find_task(base.config.architectures or ())
    trained = was is not None and was.labels_are is LabelKind.CLASSES
    trained = trained or checkpoints.pools_mean(base.config)
    said = config.pooling is not None or config.learns_from_few
    return texts and config.model is not None and not (said or trained)


def _renamed(config: FinetuneConfig, base: Base, labels: Sequence[str]) -> bool:
    """Return whether the labels are not those of the base; values and answers have no names."""
    named = config.problem_type is not ProblemType.REGRESSION and config.task.fixed_labels is None
    own = base.config.id2label
    return named and [str(own[i]) for i in sorted(own)] != list(labels)


def _add_virtual_tokens(
    tokenizer: transformers.PreTrainedTokenizerFast, count: int, max_length: int
) -> None:
    if count > max_length // 2:
        raise SettingError(
            f"num_virtual_tokens is {count}, but texts have {max_length} tokens with them; give "
            f"{max_length // 2} at most"
        )
    add_virtual_tokens(tokenizer, count)


def _open_teacher(name: str, config: FinetuneConfig, data: Data) -> checkpoints.Checkpoint:
    """Open a teacher; CheckpointError where it was not trained for this very task."""
    teacher = checkpoints.open_checkpoint(name, config.task)
    if teacher.model.rule.problem_type is not config.problem_type:
        raise CheckpointError(
            f"{name} cannot teach this task: its problem_type is "
            f"{teacher.model.rule.problem_type}, not {config.problem_type}"
        )
    if teacher.model.labels != data.labels:
        odd = next(iter(set(data.labels) ^ set(teacher.model.labels)), "another order")
        raise CheckpointError(
            f"{name} cannot teach this task: its {len(teacher.model.labels)} labels are not the "
            f"{len(data.labels)} of {data.train.path} (see {odd!r}); train it on such data first"
        )
    return teacher


def _check_teacher(name: str, student: str, base: Base, *, pair: bool) -> int:
    """Return how many tokens a teacher reads at most.

    It is given the student's own rows of token ids: CheckpointError where it would read others.
    """
    teacher = checkpoints.open_base(name)
    if teacher.tokenizer.get_vocab() != base.tokenizer.get_vocab():
        raise CheckpointError(
            f"{name} cannot teach {student}: their vocabularies differ, so that its tokens are "
            "others; choose a base with the same vocabulary, such as a smaller one of its family"
        )
    typed = [getattr(each.config, "type_vocab_size", 0) > 1 for each in (teacher, base)]
    if pair and typed == [True, False]:
        raise CheckpointError(
            f"{name} cannot teach {student} pairs of texts: it tells the two apart by token "
            "types, which that model has not; choose another base"
        )
    return teacher.longest
