"""Settings that keep a model from learning its training data by heart."""

from dataclasses import dataclass
from enum import StrEnum

from bertedge.fields import setting


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
    rdrop_alpha: float = setting(
        0.0, "R-Drop: weight of the distance of two passes.", metavar="X", ge=0, le=1000
    )
    """0: none. Every batch is run twice, so training takes nearly twice as long."""
