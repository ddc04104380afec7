"""Settings of a checkpoint that is trained on, and of what it must not forget."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertedge.errors import SettingError
from bertedge.fields import setting


@dataclass(frozen=True, kw_only=True)
class ContinualLearningConfig:
    """What a finished checkpoint was trained on before, and how much of that it sees again."""

    replay: Path | None = setting(None, "What --model was trained on, to be kept in mind.")
    """The model is a finished checkpoint of this task then: its head grows by the new labels."""
    replay_share: float = setting(0.5, "Old rows an epoch, per new one.", metavar="X", ge=0, le=100)
    """Others in every epoch. 0: none; what is forgotten is measured all the same."""


def check_continual(config: Any) -> None:
    """Raise SettingError for settings that cannot work together."""
    if config.replay is not None and config.model is None:
        raise SettingError(
            f"replay is {config.replay}, but there is no old model; give --model, the checkpoint "
            "that was trained on that file"
        )
