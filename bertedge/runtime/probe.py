"""A model of one node, written out byte by byte, to find out what onnxruntime really can do here.

The field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from typing import Any

import numpy as np

from bertedge.runtime.providers import CPU, Device
from bertedge.runtime.session import open_native

_UINT8, _INT8, _INT32 = 2, 3, 6
_ROWS, _INNER, _COLUMNS = 16, 64, 32


def runs_on(device: Device) -> None:
    """Run the model on `device`; raises a BertedgeError where that cannot be done."""
    _product(device, value=1)


def int8_is_exact() -> bool:
    """Tell whether the CPU's int8 products are right for the largest values.

    x86 without VNNI adds pairs of u8 x s8 products in 16 bits, where they saturate.
    """
    largest = 127
    return bool((_product(CPU, value=largest) == 255 * largest * _INNER).all())


def _product(device: Device, *, value: int) -> Any:
    native = open_native(matmul_integer(), device=device, threads=1)
    feed = {
        "a": np.full((_ROWS, _INNER), 255, np.uint8),
        "b": np.full((_INNER, _COLUMNS), value, np.int8),
    }
    return native.run(["y"], feed)[0]


def matmul_integer() -> bytes:
    """Give the bytes of an ONNX model that multiplies uint8 `a` by int8 `b` into int32 `y`."""
    node = _bytes(1, b"a") + _bytes(1, b"b") + _bytes(2, b"y") + _bytes(4, b"MatMulInteger")
    graph = (
        _bytes(1, node)
        + _bytes(2, b"probe")
        + _bytes(11, _value(b"a", _UINT8, (_ROWS, _INNER)))
        + _bytes(11, _value(b"b", _INT8, (_INNER, _COLUMNS)))
        + _bytes(12, _value(b"y", _INT32, (_ROWS, _COLUMNS)))
    )
    opset = _bytes(1, b"") + _number(2, 13)
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, opset)


def _value(name: bytes, kind: int, shape: tuple[int, ...]) -> bytes:
    dimensions = b"".join(_bytes(1, _number(1, size)) for size in shape)
    tensor = _number(1, kind) + _bytes(2, dimensions)
    return _bytes(1, name) + _bytes(2, _bytes(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    low = bytearray()
    while value > 127:
        low.append(value & 127 | 128)
        value >>= 7
    return bytes([*low, value])
