"""The precision of a training run's forward pass on this machine."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bertedge.runtime import machine
from bertedge.training.config import Precision

if TYPE_CHECKING:
    import torch


def choose_precision(asked: Precision) -> Precision:
    """Resolve `auto`: bf16 where the hardware multiplies it, else fp32."""
    if asked is not Precision.AUTO:
        return asked
    import torch

    if torch.cuda.is_available():
        return Precision.BF16 if torch.cuda.is_bf16_supported() else Precision.FP32
    return Precision.BF16 if machine.BF16_FLAGS & machine.cpu_flags() else Precision.FP32


@contextlib.contextmanager
def inference(precision: Precision, device: "torch.device") -> Iterator[None]:
    """Run the block's forward passes without gradients, in the precision that training has."""
    import torch

    bf16 = precision is Precision.BF16
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        yield
