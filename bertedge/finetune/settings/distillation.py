"""Settings of a student and its teachers."""

from dataclasses import dataclass

from bertedge.errors import SettingError
from bertedge.fields import setting


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """What a student is made of, and what it learns from its teachers."""

    teacher: tuple[str, ...] = setting(
        (), "Checkpoint to distill; of several, their mean.", metavar="DIR|HUB-ID"
    )
    """Checkpoints of this very task. Without `model` the student starts as a copy of the first,
    with fewer layers."""
    layers: int | None = setting(
        None, "That the student keeps, of the teacher's.", unset="all", ge=1, le=1000
    )
    """Of the model's, where there is one; spread evenly."""

    distillation_alpha: float = setting(
        0.5, "Share of the teachers' labels in the loss.", metavar="X", ge=0, le=1, formerly="soft"
    )
    """The labels of the file have the rest."""
    distillation_temperature: float = setting(
        2.0, "Softens the teachers' labels.", metavar="T", gt=0, le=1000, formerly="temperature"
    )
    distillation_hidden_weight: float = setting(
        1.0, "Of the hidden states' distance.", metavar="X", ge=0, le=1_000_000, formerly="hidden"
    )
    """Weight in the loss of the distance between the first teacher's hidden states and the
    student's."""


def check_distillation(config: DistillationConfig) -> None:
    """Raise SettingError for settings that cannot work together."""
    if config.layers is not None and not config.teacher:
        raise SettingError("--layers is for a student; give --teacher, a checkpoint of this task")
