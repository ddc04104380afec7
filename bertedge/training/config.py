"""The settings that every training run has."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bertedge.fields import setting, validate


class Precision(StrEnum):
    """Of the forward pass; the weights and the optimizer are always fp32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """What Hugging Face's TrainingArguments call by the same names; SettingError where wrong."""

    gradient_accumulation_steps: int = setting(
        1, "Batches an optimizer step.", metavar="N", ge=1, le=65_536, formerly="accumulate"
    )
    """Batches whose gradients are summed for one step of the optimizer."""
    max_grad_norm: float = setting(1.0, "Largest norm of the gradient.", gt=0, formerly="clip")
    precision: Precision = setting(Precision.AUTO, "Of the forward pass.", metavar="auto|fp32|bf16")
    seed: int = setting(42, "Two runs with one seed agree.", ge=0, le=2**32 - 1)
    log_dir: Path | None = setting(None, "TensorBoard's files, too.", metavar="DIR")
    """training.csv is written in any case."""

    def __post_init__(self) -> None:
        """Check the types and bounds of all fields."""
        validate(self)
