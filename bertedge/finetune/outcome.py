"""What a run comes to: a model, and how it was trained."""

from dataclasses import dataclass

from bertedge.checkpoint.training import SelfTraining
from bertedge.finetune import training
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.folds import CrossValidated
from bertedge.finetune.search.trials import Trials


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A trained model, and all that is written beside its weights."""

    config: FinetuneConfig
    """What it was trained with."""
    material: training.Material
    """The model among it."""
    trained: training.Trained
    folds: CrossValidated | None = None
    trials: Trials | None = None
    self_training: SelfTraining | None = None
