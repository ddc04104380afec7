"""The precision of a training run's forward pass."""

from enum import StrEnum

from bertedge.runtime import machine


class Precision(StrEnum):
    """Of the forward pass; the weights and the optimizer are always fp32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


def choose_precision(asked: Precision) -> Precision:
    """Settle `auto`: bf16 where the hardware multiplies it, else fp32."""
    if asked is not Precision.AUTO:
        return asked
    import torch

    if torch.cuda.is_available():
        return Precision.BF16 if torch.cuda.is_bf16_supported() else Precision.FP32
    return Precision.BF16 if machine.BF16_FLAGS & machine.cpu_flags() else Precision.FP32
