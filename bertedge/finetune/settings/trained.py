"""Settings of what of a model is trained."""

from dataclasses import dataclass

from bertedge.errors import SettingError
from bertedge.fields import setting

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class TrainedParametersConfig:
    """Which parameters are trained."""

    freeze: str | int | None = setting(
        None, "Not to train: embeddings, N layers.", metavar="embeddings|N|auto"
    )
    """"embeddings", or the number of lowest layers frozen along with the embeddings; "auto" freezes
    lower layers along the run, once their gradients have settled."""
    train_layers: int | None = setting(
        None, "The top N alone, and the head.", metavar="N", unset="all", ge=0, le=1000
    )
    """0: the head alone."""
    bitfit: bool = setting(False, "Train the biases alone, and the head.")
    gradual_unfreezing: float | None = setting(
        None, "Share of steps till all is trained.", metavar="X", gt=0, le=1
    )
    """The head is trained from the first step, each layer below later, the embeddings last."""


def check_trained(config: TrainedParametersConfig) -> None:
    """Raise SettingError for settings that cannot work together."""
    freeze = config.freeze
    if isinstance(freeze, str) and freeze.isdigit():  # as a flag has it
        freeze = int(freeze)
        object.__setattr__(config, "freeze", freeze)
    if freeze not in (None, "embeddings", AUTO) and (isinstance(freeze, str) or freeze < 0):
        raise SettingError(f"freeze is {freeze!r}; give embeddings, a number of layers, or auto")
