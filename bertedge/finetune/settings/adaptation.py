"""Settings of pretraining on the task's own text before it is fine-tuned on."""

from dataclasses import dataclass
from typing import Any

from bertedge.errors import SettingError
from bertedge.fields import setting


@dataclass(frozen=True, kw_only=True)
class AdaptationConfig:
    """How the base is adapted to the task's text."""

    adapt: bool = setting(False, "Mask words of the training texts first.")
    """Task-adaptive pretraining: the base goes on predicting masked words of these texts."""
    adapt_epochs: float = setting(10.0, "Passes of that.", metavar="N", gt=0, le=10_000)


def check_adaptation(config: Any) -> None:
    """Raise SettingError for settings that cannot work together."""
    if config.adapt and config.model is None:
        raise SettingError(
            "--adapt is for a base, and without --model a student is made of its teacher's "
            "--layers; give --model too, or leave --adapt out"
        )
