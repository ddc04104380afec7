"""Settings of a student and its teacher."""

from dataclasses import dataclass

from bertedge.errors import SettingError
from bertedge.fields import setting


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """What a student is made of, and what it learns from its teacher."""

    teacher: str | None = setting(None, "Instead: checkpoint to distill.", metavar="DIR|HUB-ID")
    """A checkpoint of this very task; the student starts as a copy with fewer layers."""
    layers: int | None = setting(
        None, "Of the teacher's, that the student keeps.", unset="all", ge=1, le=1000
    )
    """Spread evenly over the teacher's."""

    distillation_alpha: float = setting(
        0.5, "Share of the teacher's labels in the loss.", metavar="X", ge=0, le=1, formerly="soft"
    )
    """The labels of the file have the rest."""
    distillation_temperature: float = setting(
        2.0, "Softens the teacher's labels.", metavar="T", gt=0, le=1000, formerly="temperature"
    )
    distillation_hidden_weight: float = setting(
        1.0, "Of the hidden states' distance.", metavar="X", ge=0, le=1_000_000, formerly="hidden"
    )
    """Weight in the loss of the distance between the teacher's hidden states and the student's."""


def check_distillation(config: DistillationConfig) -> None:
    """Raise SettingError for settings that cannot work together."""
    if config.layers is not None and config.teacher is None:
        raise SettingError("--layers is for a student; give --teacher, a checkpoint of this task")
