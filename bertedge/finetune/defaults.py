"""The settings that nobody gave: from what is known of the data and the base before training."""

from dataclasses import dataclass

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.settings.optimization import LRScheduler, Optimizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known before the first step."""

    rows: int
    """Of the training data, as the model is given them: windows count one by one."""
    classes: int
    hidden_size: int
    layers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """The settings of a run that depend on the data and the base, all of them settled."""

    epochs: float
    batch_size: int
    learning_rate: float
    warmup_ratio: float
    weight_decay: float
    layer_decay: float


RATES = {Optimizer.ADAMW: 1.0, Optimizer.SGD: 200.0, Optimizer.LION: 0.2}
"""Learning rate of each optimizer, as a multiple of AdamW's."""


def choose_hyperparameters(config: FinetuneConfig, facts: Facts) -> Hyperparameters:
    """Return what the config says, and where it is silent what the data and the base ask for."""
    # Smith's cycle rises for as long as torch's does.
    warmup = 0.3 if config.lr_scheduler is LRScheduler.ONE_CYCLE else 0.1
    return Hyperparameters(
        epochs=config.epochs or 3.0,
        batch_size=config.batch_size or 32,
        learning_rate=config.learning_rate or 5e-5 * RATES[config.optimizer],
        warmup_ratio=warmup if config.warmup_ratio is None else config.warmup_ratio,
        weight_decay=0.01 if config.weight_decay is None else config.weight_decay,
        layer_decay=config.layer_decay or 1.0,
    )
