"""Predictions as typed Arrow columns, by the fields of a task's prediction."""

import itertools
import types
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from bertedge.predictions import Embedding, Prediction

if TYPE_CHECKING:
    import pyarrow as pa

_EMBEDDING = "embedding"
"""The column of an embedding, whose JSON says "values"."""


def prediction_fields(example: Prediction, prefix: str = "") -> "list[pa.Field]":
    """Return the columns that predictions like `example` have; scores are float32."""
    import pyarrow as pa

    kind = type(example)
    if isinstance(example, Embedding):
        vector = pa.list_(pa.float32(), len(example.values))
        return [pa.field(prefix + _EMBEDDING, vector), pa.field(f"{prefix}truncated", pa.bool_())]
    return [pa.field(prefix + name, _arrow_type(hint)) for name, hint in _hints(kind).items()]


def prediction_arrays(
    found: "Sequence[Prediction | None]", columns: "Sequence[pa.Field]"
) -> "list[pa.Array]":
    """Return the columns of predictions; None, of a missing text, is null in all of them."""
    import pyarrow as pa

    kind = next((type(each) for each in found if each is not None), None)
    if kind is None:
        return [pa.nulls(len(found), field.type) for field in columns]
    return [
        _array([None if each is None else getattr(each, name.name) for each in found], field.type)
        for name, field in zip(fields(kind), columns, strict=True)
    ]


def _array(values: list[Any], kind: "pa.DataType") -> "pa.Array":
    """Build a column from its parts: from dicts it would take several times as long."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(kind):
        return _vectors(values, kind)
    if pa.types.is_map(kind):
        return _maps(values, kind)
    if pa.types.is_list(kind):
        flat = [item for value in values if value is not None for item in value]
        return pa.ListArray.from_arrays(_offsets(values), _array(flat, kind.value_type))
    if pa.types.is_struct(kind):
        parts = [
            _array([None if x is None else getattr(x, field.name) for x in values], field.type)
            for field in kind.fields
        ]
        missing = pa.array([value is None for value in values], pa.bool_())
        return pa.StructArray.from_arrays(parts, fields=kind.fields, mask=missing)
    return pa.array(values, kind)


def _vectors(values: "list[NDArray[np.float32] | None]", kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    empty = np.zeros(kind.list_size, np.float32)
    flat = np.concatenate([empty if value is None else value for value in values])
    missing = pa.array([value is None for value in values])
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind, mask=missing)


def _maps(values: "list[dict[str, float] | None]", kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    given = [value for value in values if value is not None]
    keys = pa.array([key for value in given for key in value], kind.key_type)
    items = pa.array([item for value in given for item in value.values()], kind.item_type)
    return pa.MapArray.from_arrays(_offsets(values), keys, items)


def _offsets(values: Sequence[Any]) -> "pa.Array":
    """Return where each list begins in the flat one, and its end; null where there is none."""
    import pyarrow as pa

    ends = itertools.accumulate(map(len, (value or () for value in values)), initial=0)
    *begins, end = ends
    own = [None if x is None else begin for x, begin in zip(values, begins, strict=True)]
    return pa.array([*own, end], pa.int32())


def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, localns={"NDArray": NDArray, "np": np})
    return {field.name: hints[field.name] for field in fields(kind)}


def _arrow_type(hint: Any) -> "pa.DataType":
    import pyarrow as pa

    plain = {str: pa.string(), bool: pa.bool_(), int: pa.int32(), float: pa.float32()}
    if hint in plain:
        return plain[hint]
    origin, parts = get_origin(hint), get_args(hint)
    if origin is dict:
        return pa.map_(_arrow_type(parts[0]), _arrow_type(parts[1]))
    if origin is tuple:
        return pa.list_(_arrow_type(parts[0]))
    if origin in (Union, types.UnionType):  # of a value and None: every column takes nulls
        return _arrow_type(next(part for part in parts if part is not type(None)))
    return pa.struct([(name, _arrow_type(each)) for name, each in _hints(hint).items()])
