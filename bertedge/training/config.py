"""The settings that every training run has."""

from dataclasses import dataclass, field
from enum import StrEnum

from bertedge.fields import about, validate


class Precision(StrEnum):
    """Of the forward pass; the weights and the optimizer are always fp32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """What Hugging Face's TrainingArguments call by the same names; SettingError where wrong."""

    batch_size: int = field(default=32, metadata=about("Texts a batch.", ge=1, le=65_536))
    gradient_accumulation_steps: int = field(
        default=1,
        metadata=about(
            "Batches an optimizer step.", metavar="N", ge=1, le=65_536, formerly="accumulate"
        ),
    )
    """Batches whose gradients are summed for one step of the optimizer."""
    weight_decay: float = field(default=0.01, metadata=about("AdamW's weight decay.", ge=0, le=10))
    max_grad_norm: float = field(
        default=1.0, metadata=about("Largest norm of the gradient.", gt=0, formerly="clip")
    )
    precision: Precision = field(
        default=Precision.AUTO,
        metadata=about("Of the forward pass.", metavar="auto|fp32|bf16"),
    )
    seed: int = field(
        default=42, metadata=about("Two runs with one seed agree.", ge=0, le=2**32 - 1)
    )

    def __post_init__(self) -> None:
        """Check the types and bounds of all fields."""
        validate(self)
