"""The precision of a training run's forward pass on this machine."""

from bertedge.runtime import machine
from bertedge.training.config import Precision


def choose_precision(asked: Precision) -> Precision:
    """Resolve `auto`: bf16 where the hardware multiplies it, else fp32."""
    if asked is not Precision.AUTO:
        return asked
    import torch

    if torch.cuda.is_available():
        return Precision.BF16 if torch.cuda.is_bf16_supported() else Precision.FP32
    return Precision.BF16 if machine.BF16_FLAGS & machine.cpu_flags() else Precision.FP32
