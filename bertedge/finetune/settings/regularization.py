"""Settings that keep a model from learning its training data by heart."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bertedge.errors import SettingError
from bertedge.fields import setting
from bertedge.spec import LabelKind, ProblemType


class ClassWeights(StrEnum):
    """How much an example of each class counts in the loss."""

    NONE = "none"
    BALANCED = "balanced"


class Adversarial(StrEnum):
    """How word embeddings are moved to where the loss is high."""

    NONE = "none"
    FGM = "fgm"
    PGD = "pgd"
    FREELB = "freelb"


@dataclass(frozen=True, kw_only=True)
class RegularizationConfig:
    """What is added to the loss, or done to the model, in training alone."""

    class_weights: ClassWeights = setting(
        ClassWeights.NONE, "For rare classes.", metavar="none|balanced"
    )
    dropout: float | None = setting(
        None, "Share of units left out.", metavar="X", unset="as the base has it", ge=0, le=0.95
    )
    """Of hidden states, attention and the vector before the head, whatever the base's own are.
    Where it is not given, attention has none."""
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
    adversarial: Adversarial = setting(
        Adversarial.NONE, "Move word embeddings.", metavar="fgm|pgd|freelb"
    )
    """Train also on what is a little off the texts, in the direction that the loss rises in."""
    adversarial_epsilon: float | None = setting(
        None,
        "Longest move of a text's embeddings.",
        metavar="X",
        unset="0.04 of a word's",
        gt=0,
        le=1000,
    )
    adversarial_steps: int | None = setting(
        None, "Passes of pgd and freelb.", metavar="N", unset="3", ge=1, le=100
    )
    mixup_alpha: float = setting(
        0.0, "Mixup: of Beta(X, X), which texts are mixed by.", metavar="X", ge=0, le=100
    )
    """0: none. The papers' are 0.1 to 1."""
    mixout: float = setting(
        0.0, "Share of weights that are the base's in a pass.", metavar="X", ge=0, le=0.95
    )
    reinit_layers: int = setting(0, "Top layers that start at random.", metavar="N", ge=0, le=1000)
    """A pooler too, where there is one."""
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
    if config.mixup_alpha and config.task.labels_are is not LabelKind.CLASSES:
        raise SettingError(
            f"mixup_alpha is {config.mixup_alpha}, but {config.task} has no one vector of a text "
            "to mix; leave it out"
        )
    for name in ("adversarial_epsilon", "adversarial_steps"):
        if config.adversarial is Adversarial.NONE and getattr(config, name) is not None:
            raise SettingError(f"{name} is for adversarial training; give --adversarial too")
    if config.adversarial is Adversarial.FGM and config.adversarial_steps not in (None, 1):
        raise SettingError(f"adversarial_steps is {config.adversarial_steps}, but fgm has one step")
    if config.adversarial is Adversarial.FREELB and config.adversarial_steps == 1:
        raise SettingError("adversarial_steps is 1: plain training; give freelb 2 or more")
