"""Settings that keep a model from learning its training data by heart."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bertedge.errors import SettingError
from bertedge.fields import setting
from bertedge.spec import ProblemType


class ClassWeights(StrEnum):
    """How much an example of each class counts in the loss."""

    NONE = "none"
    BALANCED = "balanced"


@dataclass(frozen=True, kw_only=True)
class RegularizationConfig:
    """What is added to the loss, or done to the model, in training alone."""

    class_weights: ClassWeights = setting(
        ClassWeights.NONE, "For rare classes.", metavar="none|balanced"
    )
    dropout: float | None = setting(
        None, "Share of units left out.", metavar="X", unset="as the base has it", ge=0, le=0.95
    )
    """Of hidden states, attention and the vector before the head, whatever the base's own are."""
    label_smoothing: float = setting(
        0.0, "Share of every label that all classes have.", metavar="X", ge=0, le=0.95
    )
    focal_gamma: float = setting(
        0.0, "Focal loss: less for what is surely right.", metavar="X", ge=0, le=20
    )
    """0: none. The paper's is 2."""
    rdrop_alpha: float = setting(
        0.0, "R-Drop: weight of the distance of two passes.", metavar="X", ge=0, le=1000
    )
    """0: none. Every batch is run twice, so training takes nearly twice as long."""
    ema_decay: float = setting(
        0.0, "Moving average of the weights: share kept a step.", metavar="X", ge=0, le=0.99999
    )
    """0: none. The average is evaluated and kept, never trained on."""
    swa_start: float | None = setting(
        None, "Mean of the weights from this share of steps.", metavar="X", ge=0, le=0.99
    )


def check_regularization(config: Any) -> None:
    """Raise SettingError for what a task cannot have."""
    regression = config.problem_type is ProblemType.REGRESSION
    for name in ("label_smoothing", "focal_gamma"):
        if regression and getattr(config, name):
            raise SettingError(
                f"{name} is {getattr(config, name)}, but regression has no classes; leave it out"
            )
