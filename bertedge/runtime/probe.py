"""A model of one int8 product, run to find out what onnxruntime really can do here."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.runtime.providers import CPU, Device
from bertedge.runtime.session import open_native

PROBE = Path(__file__).with_name("probe.onnx")
"""Multiplies uint8 `a` by int8 `b` into int32 `y`; made by scripts/make_tiny.py."""
_LARGEST_A, _LARGEST_B = 255, 127


def check_device(device: Device) -> None:
    """Run the model on `device`; raises a BertedgeError where that cannot be done."""
    _multiply_largest(device)


def int8_is_exact() -> bool:
    """Whether the CPU's int8 products are right for the largest values.

    x86 without VNNI adds pairs of u8 x s8 products in 16 bits, where they saturate.
    """
    found, exact = _multiply_largest(CPU)
    return bool((found == exact).all())


def _multiply_largest(device: Device) -> tuple[NDArray[np.int32], int]:
    """Multiply matrices of the largest values; return the product and what each of it should be."""
    native: Any = open_native(str(PROBE), device=device, threads=1)
    a, b = (
        np.full(each.shape, value, kind)
        for each, value, kind in zip(
            native.get_inputs(), (_LARGEST_A, _LARGEST_B), (np.uint8, np.int8), strict=True
        )
    )
    return native.run(["y"], {"a": a, "b": b})[0], _LARGEST_A * _LARGEST_B * a.shape[1]
