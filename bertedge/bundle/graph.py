"""What an ONNX file may hold before onnxruntime sees it: what our exporters write, and no more.

The file is read as protobuf, field by field, without the onnx package. The field numbers are those
of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from bertedge.errors import BundleError

if TYPE_CHECKING:
    import mmap

Bytes: TypeAlias = "bytes | mmap.mmap"
Field = tuple[int, int, int]
Varint = tuple[int, int]

DOMAINS = frozenset({b"", b"ai.onnx", b"com.microsoft"})
OPERATORS = frozenset(
    # Shapes, and values moved about.
    b"Cast Concat Constant ConstantOfShape CumSum Expand Flatten Gather Identity Range Reshape "
    b"Shape Size Slice Split Squeeze Transpose Unsqueeze Where "
    # Arithmetic.
    b"Abs Add And Clip Div Elu Equal Erf Exp Gemm Greater GreaterOrEqual HardSigmoid HardSwish "
    b"LayerNormalization LeakyRelu Less LessOrEqual Log MatMul Max Min Mish Mul Neg Not Or Pow "
    b"PRelu Reciprocal ReduceL2 ReduceMax ReduceMean ReduceSum Relu Selu Sigmoid Sign Softmax "
    b"GlobalMaxPool Softplus Softsign Sqrt Sub Sum Tanh "
    # int8.
    b"DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearMatMul QuantizeLinear "
    # What onnxruntime fuses them to.
    b"Attention BiasGelu DynamicQuantizeMatMul EmbedLayerNormalization FastGelu FusedGemm "
    b"FusedMatMul Gelu MatMulIntegerToFloat MultiHeadAttention QAttention QuickGelu "
    b"RotaryEmbedding SkipLayerNormalization".split()
)  # fmt: skip
"""Without control flow, without chance, and of operators that give more values than they are fed
only those that shapes are made with."""
INPUTS = frozenset({b"input_ids", b"attention_mask", b"token_type_ids"})
MOST_NODES = 20_000
"""The largest of our graphs, of 24 layers before any fusion, has some 3,000."""
MOST_ELEMENTS = 2**31
LARGEST_SHAPE = 2**24
"""Largest product of the entries of a constant that a shape may be made of; 2**31 - 1 and more
stand for "to the end" in a slice."""
_OPEN_END = 2**31 - 1
_SHAPE_CONSTANT = _MOST_DIMENSIONS = 8
"""Entries up to which a constant of integers may be a shape."""
_INTEGERS = {6: 4, 7: 8}
"""Bytes of an entry of int32 and int64."""
_FIXED = {1: 8, 5: 4}
_LARGEST = 2**64 - 1
_READ_WHOLE = 2**24
_MOST_OUTPUTS = 8
_SHOWN = 60

_GRAPH = 7
_MODEL_FIELDS = frozenset({1, 2, 3, 4, 5, 6, _GRAPH, 8, 14})
"""Without training information and functions."""
_GRAPH_FIELDS = frozenset({2, 10, 13, 14, 16})
"""Besides those that are looked into; without sparse initializers."""
_NODE_FIELDS = frozenset({1, 2, 3, 6, 9})
_ATTRIBUTE_FIELDS = frozenset({1, 2, 4, 7, 9, 13, 20})
"""Without graphs, types and sparse tensors."""
_TENSOR_FIELDS = frozenset({3, 4, 5, 6, 7, 8, 10, 11, 12, 14, 16})
_EXTERNAL_KEYS = frozenset({b"offset", b"length", b"checksum"})


class _MalformedError(ValueError):
    """What is wrong with the bytes."""


def check_graph(path: Path, weights: str | None) -> None:
    """Raise BundleError for a graph that none of our exporters could have written.

    `weights` is the file that the manifest names for what does not lie in the graph's own.
    """
    location = None if weights is None else weights.encode()
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= _READ_WHOLE:
                _check_model(file.read(), size, location)
                return
            import mmap  # weights lie in a file of their own, as a rule

            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _check_model(data, size, location)
    except OSError as error:
        raise BundleError(f"{str(path)!r} cannot be read: {error.strerror}") from None
    except (_MalformedError, IndexError) as error:
        why = str(error) if isinstance(error, _MalformedError) else "it is cut short"
        raise BundleError(
            f"{path} is no graph that bertedge exports: {why}; do not use this bundle"
        ) from None


def _check_model(data: Bytes, size: int, weights: bytes | None) -> None:
    graphs = 0
    for number, begin, end in _fields(data, 0, size):
        _expect(number in _MODEL_FIELDS, f"the model has the field {number}")
        if number == _GRAPH:
            graphs += 1
            _check_graph(data, begin, end, weights)
    _expect(graphs == 1, f"it holds {graphs} graphs")


def _check_graph(data: Bytes, begin: int, end: int, weights: bytes | None) -> None:
    nodes = outputs = 0
    for number, first, last in _fields(data, begin, end):
        if number == 1:
            nodes += 1
            _check_node(data, first, last, weights)
        elif number == 5:
            _check_tensor(data, first, last, weights)
        elif number == 11:
            name = _text(data, first, last, 1)
            _expect(name in INPUTS, f"it has an input {_show(name)}")
        elif number == 12:
            outputs += 1
        else:
            _expect(number in _GRAPH_FIELDS, f"the graph has the field {number}")
    _expect(nodes <= MOST_NODES, f"it has {nodes:,} nodes, more than {MOST_NODES:,}")
    _expect(0 < outputs <= _MOST_OUTPUTS, f"it has {outputs} outputs")


def _check_node(data: Bytes, begin: int, end: int, weights: bytes | None) -> None:
    kind = domain = b""
    for number, first, last in _fields(data, begin, end):
        if number == 4:
            kind = data[first:last]
        elif number == 7:
            domain = data[first:last]
        elif number == 5:
            _check_attribute(data, first, last, weights)
        else:
            _expect(number in _NODE_FIELDS, f"a node has the field {number}")
    known = kind in OPERATORS and domain in DOMAINS
    _expect(known, f"it has an operator {_show(domain + b'.' + kind)}")


def _check_attribute(data: Bytes, begin: int, end: int, weights: bytes | None) -> None:
    tensors = 0
    numbers: list[int] = []
    for number, first, last in _fields(data, begin, end):
        if number == 5:
            tensors += 1
            _check_tensor(data, first, last, weights)
        elif number in (3, 8):
            numbers += [first] if last < 0 else _varints(data, first, last)
        else:
            _expect(number in _ATTRIBUTE_FIELDS, "a node holds a graph of its own")
    _expect(tensors < 2, "an attribute holds several tensors")
    _check_numbers(numbers)


def _check_tensor(data: Bytes, begin: int, end: int, weights: bytes | None) -> None:
    dims: list[int] = []
    numbers: list[int] = []
    kind = 0
    raw = slice(0, 0)
    for number, first, last in _fields(data, begin, end):
        if number == 1:
            dims += [first] if last < 0 else _varints(data, first, last)
        elif number == 2:
            kind = first
        elif number == 9:
            raw = slice(first, last)
        elif number == 13:
            _check_external(data, first, last, weights)
        elif number in (5, 7) and (last < 0 or last - first <= _SHAPE_CONSTANT):
            numbers += [first] if last < 0 else _varints(data, first, last)
        else:
            _expect(number in _TENSOR_FIELDS, f"a tensor has the field {number}")
    elements = math.prod(dims)
    sane = (
        len(dims) <= _MOST_DIMENSIONS
        and 0 <= elements <= MOST_ELEMENTS
        and min(dims, default=0) >= 0
    )
    _expect(sane, "a tensor has impossible dimensions")
    width = _INTEGERS.get(kind)
    if width and elements <= _SHAPE_CONSTANT:
        own = data[raw]
        pieces = (own[i : i + width] for i in range(0, len(own), width))
        numbers += [int.from_bytes(piece, "little", signed=True) for piece in pieces]
        _check_numbers(numbers)


def _check_numbers(numbers: list[int]) -> None:
    """Refuse what would make a value of more entries than any of ours has."""
    entries = 1
    for number in numbers:
        size = abs(number)
        if 0 < size < _OPEN_END:
            entries *= size
    _expect(entries <= LARGEST_SHAPE, "a constant asks for values of a huge shape")


def _check_external(data: Bytes, begin: int, end: int, weights: bytes | None) -> None:
    """Refuse to read any file but the one whose hash the manifest records."""
    key, value = _text(data, begin, end, 1), _text(data, begin, end, 2)
    if key == b"location":
        _expect(value == weights, f"it reads {_show(value)}, which the manifest does not name")
    else:
        _expect(key in _EXTERNAL_KEYS, f"external data has the key {_show(key)}")


def _fields(data: Bytes, place: int, end: int) -> Iterator[Field]:
    """Yield number, begin and end of each field of a message; for a varint its value and -1."""
    while place < end:
        key = data[place]
        place += 1
        if key > 127:
            key, place = _varint(data, place - 1, end)
        wire = key & 7
        if wire == 2:
            size = data[place]
            place += 1
            if size > 127:
                size, place = _varint(data, place - 1, end)
            yield key >> 3, place, place + size
            place += size
        elif wire == 0:
            value, place = _varint(data, place, end)
            yield key >> 3, value - (value >> 63 << 64), -1
        else:
            _expect(wire in _FIXED, f"it has bytes that are no field at {place - 1:,}")
            yield key >> 3, place, place + _FIXED[wire]
            place += _FIXED[wire]
    _expect(place == end, "a field is longer than what holds it")


def _varint(data: Bytes, place: int, end: int) -> Varint:
    value = shift = 0
    while shift < 70 and place < end:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _LARGEST, place
        shift += 7
    raise _MalformedError(f"it has bytes that are no number at {place:,}")


def _varints(data: Bytes, place: int, end: int) -> list[int]:
    """Read packed numbers; the sign is the 64th bit."""
    found = []
    while place < end:
        value, place = _varint(data, place, end)
        found.append(value - (value >> 63 << 64))
    return found


def _text(data: Bytes, begin: int, end: int, wanted: int) -> bytes:
    """Return the last field `wanted` of a message, as protobuf does where there are several."""
    found = [
        data[first:last]
        for number, first, last in _fields(data, begin, end)
        if number == wanted and last >= 0
    ]
    return found[-1] if found else b""


def _show(name: bytes) -> str:
    return repr(name[:_SHOWN].decode("utf-8", "replace"))


def _expect(holds: bool, problem: str) -> None:
    if not holds:
        raise _MalformedError(problem)
