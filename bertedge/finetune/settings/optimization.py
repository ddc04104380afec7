"""Settings of the optimizer and of its learning rate."""

from dataclasses import dataclass
from enum import StrEnum

from bertedge.fields import setting

BY_DATA = "by the data"
"""What help says of settings that `bertedge.finetune.defaults` fills in."""


class Optimizer(StrEnum):
    """What moves the weights by their gradients."""

    ADAMW = "adamw"
    SGD = "sgd"
    MUON = "muon"


class LRScheduler(StrEnum):
    """How the learning rate goes after the warm-up."""

    LINEAR = "linear"
    COSINE = "cosine"
    CONSTANT = "constant"
    ONE_CYCLE = "one-cycle"


@dataclass(frozen=True, kw_only=True)
class OptimizationConfig:
    """How the weights are moved; what is unset depends on the data and the base."""

    epochs: float | None = setting(
        None, "Passes over the training file.", unset=BY_DATA, gt=0, le=10_000
    )
    batch_size: int | None = setting(None, "Texts a batch.", unset=BY_DATA, ge=1, le=65_536)
    learning_rate: float | None = setting(
        None, "Peak of the learning rate.", unset=BY_DATA, gt=0, le=1
    )
    warmup_ratio: float | None = setting(
        None, "Share of steps with a rising rate.", unset=BY_DATA, ge=0, le=1, formerly="warmup"
    )
    """Of the steps; the learning rate goes as `lr_scheduler` says after."""
    lr_scheduler: LRScheduler = setting(
        LRScheduler.LINEAR, "Of the learning rate.", metavar="|".join(LRScheduler)
    )
    """linear and cosine fall to 0, constant stays; one-cycle rises from a 25th of the peak and
    falls to nearly 0, and momentum goes the other way."""
    optimizer: Optimizer = setting(Optimizer.ADAMW, "Of the weights.", metavar="|".join(Optimizer))
    early_stopping_patience: int | None = setting(
        None,
        "Epochs without a better dev metric.",
        metavar="N",
        unset="3 with --epochs",
        ge=0,
        le=10_000,
        formerly="patience",
    )
    """Evaluations without a better dev metric before training stops; 0 never stops early. Epochs
    that are chosen by the data are run to their end, where the learning rate is lowest."""
    weight_decay: float | None = setting(None, "Of the weights.", unset=BY_DATA, ge=0, le=10)
    layer_decay: float | None = setting(
        None, "Of the rate, a layer down.", metavar="X", unset=BY_DATA, gt=0, le=1
    )
    """The head has the whole learning rate, each layer below `layer_decay` times that of the one
    above it, the embeddings least. 1: all have the same."""
    gradient_checkpointing: bool = setting(False, "Less memory, a third slower.")
    """Whether a layer's activations are computed again for its gradients instead of kept."""
