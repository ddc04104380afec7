"""Tensors of the Open Inference Protocol: texts that come in, predictions that go out.

An output has the name that `bertedge predict` gives the same thing in JSON. What has another length
for each text (entities, answers) is one JSON text a row.
"""

import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertedge.errors import DataError, shorten
from bertedge.predictions import (
    Answers,
    Classification,
    Embedding,
    Entities,
    FilledMasks,
    IntentSlots,
    MultiLabelClassification,
    MultipleChoice,
    Prediction,
    Regression,
)
from bertedge.serve.kinds import embedding_size, kind_of, scored_labels
from bertedge.serve.models import ServedModel
from bertedge.spec import InputShape, Text

TEXT = "BYTES"
_DTYPES = {"FP32": "<f4", "INT64": "<i8", "BOOL": "?"}
_LENGTH = struct.Struct("<I")
ANY = -1
"""A dimension's size in metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One of a model's outputs: a value, or a row of values, for each text."""

    name: str
    datatype: str
    row: tuple[int, ...] = ()
    """Shape of a text's own part."""
    value: Callable[[Prediction], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor that goes out."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    json: bytes | None
    """Its data as JSON, or else in `raw`."""
    raw: bytes = b""

    def to_dict(self) -> dict[str, Any]:
        """Return all but the data."""
        shape = list(self.shape)
        head: dict[str, Any] = {"name": self.name, "datatype": self.datatype, "shape": shape}
        if self.json is None:
            head["parameters"] = {"binary_data_size": len(self.raw)}
        return head


def outputs_of(model: ServedModel) -> tuple[Output, ...]:
    """Return the outputs of a model."""
    labels = (len(scored_labels(model)),)
    kind = kind_of(model)
    truncated, windows = _plain("truncated", "BOOL"), _plain("windows", "INT64")
    score, scores = _plain("score", "FP32"), _scores(labels)
    if kind is Classification:
        return (_plain("label", TEXT), score, scores, truncated)
    if kind is MultiLabelClassification:
        return (_listed("labels"), scores, truncated)
    if kind is Regression:
        return (_plain("value", "FP32"), truncated)
    if kind is Entities:
        return (_listed("entities"), windows)
    if kind is IntentSlots:
        return (_plain("intent", TEXT), score, scores, _listed("slots"), windows)
    if kind is FilledMasks:
        return (_listed("masks"), truncated)
    if kind is Answers:
        answers = (_listed("answer"), _listed("answers"), _plain("no_answer", "FP32"))
        return (*answers, windows, truncated)
    if kind is MultipleChoice:
        chosen = (_plain("choice", "INT64"), _plain("chosen", TEXT))
        return (*chosen, score, _plain("scores", "FP32", (ANY,)), truncated)
    assert kind is Embedding
    return (_plain("values", "FP32", (embedding_size(model),)), truncated)


def _plain(name: str, datatype: str, row: tuple[int, ...] = ()) -> Output:
    return Output(name=name, datatype=datatype, row=row, value=lambda found: getattr(found, name))


def _scores(row: tuple[int, ...]) -> Output:
    def values(found: Prediction) -> list[float]:
        assert isinstance(found, Classification | MultiLabelClassification | IntentSlots)
        return list(found.scores.values())

    return Output(name="scores", datatype="FP32", row=row, value=values)


def _listed(name: str) -> Output:
    def written(found: Prediction) -> str:
        return json.dumps(found.to_dict()[name], ensure_ascii=False)

    return Output(name=name, datatype=TEXT, value=written)


def make_tensor(output: Output, predictions: Sequence[Prediction], *, binary: bool) -> Tensor:
    """Return an output of all texts."""
    values = [output.value(found) for found in predictions]
    shape: tuple[int, ...] = (len(values),)
    if output.datatype == TEXT:
        raw, data = b"".join(map(_counted, values)) if binary else b"", values
    else:
        array = np.asarray(values, _DTYPES[output.datatype])
        shape = array.shape if values else (0, *(max(size, 0) for size in output.row))
        raw, data = array.tobytes() if binary else b"", array.ravel().tolist()
    return Tensor(
        name=output.name,
        datatype=output.datatype,
        shape=shape,
        json=None if binary else json.dumps(data, ensure_ascii=False).encode(),
        raw=raw,
    )


def _counted(text: str) -> bytes:
    raw = text.encode()
    return _LENGTH.pack(len(raw)) + raw


def read_texts(tensor: Any, raw: bytes | None, shape: InputShape) -> tuple[list[str], int]:
    """Return the texts of an input tensor and how many of them a row has; DataError.

    `raw` is the tensor's data where it stands behind the JSON. Only the last input of a model that
    reads any number of texts may have more than one a row.
    """
    name = tensor["name"]
    if tensor.get("datatype") != TEXT:
        found = shorten(repr(tensor.get("datatype")), 40)
        raise DataError(f"input {name} has datatype {found}; texts are {TEXT}")
    several = shape.most is None and name == shape.keys[-1]
    sizes = tensor.get("shape")
    known = isinstance(sizes, list) and len(sizes) in (1, 2)
    if not known or any(type(size) is not int or not 0 <= size < 2**31 for size in sizes):
        wanted = "[rows, choices]" if several else "[rows]"
        raise DataError(f"input {name} has shape {shorten(repr(sizes), 40)}; give {wanted}")
    columns = sizes[1] if len(sizes) == 2 else 1
    if columns != 1 and not several:
        raise DataError(f"input {name} has shape {sizes}; give [{sizes[0]}]")
    if columns == 0:
        raise DataError(f"input {name} has shape {sizes}; give one choice or more a row")
    texts = _from_bytes(name, raw) if raw is not None else _from_json(name, tensor.get("data"))
    if len(texts) != math.prod(sizes):
        raise DataError(f"input {name} has shape {sizes}, but {len(texts)} texts")
    return texts, columns


def _from_json(name: str, data: Any) -> list[str]:
    if data is None:
        raise DataError(f"input {name} has no data")
    if isinstance(data, list) and data and all(isinstance(row, list) for row in data):
        data = [text for row in data for text in row]  # nested as its shape
    if not isinstance(data, list) or not all(isinstance(text, str) for text in data):
        raise DataError(f"input {name} must have a list of strings as its data")
    return data


def _from_bytes(name: str, raw: bytes) -> list[str]:
    texts: list[str] = []
    place = 0
    while place < len(raw):
        start = place + _LENGTH.size
        size = _LENGTH.unpack_from(raw, place)[0] if start <= len(raw) else len(raw)
        place = start + size
        if place > len(raw):
            raise DataError(f"input {name} ends within text {len(texts)}, by the lengths given")
        try:
            texts.append(raw[start:place].decode("utf-8"))
        except UnicodeDecodeError:
            raise DataError(f"text {len(texts)} of input {name} is not UTF-8") from None
    return texts


def join_inputs(texts: Sequence[tuple[list[str], int]], shape: InputShape) -> list[Text]:
    """Return the model's inputs, of the texts and columns of each input tensor; DataError."""
    rows = {len(each) // columns for each, columns in texts}
    if len(rows) > 1:
        found = ", ".join(str(len(each) // columns) for each, columns in texts)
        raise DataError(f"{' and '.join(shape.keys)} have {found} rows; give as many of each")
    if shape.most == 1:
        return list(texts[0][0])
    split = [
        [each[place : place + columns] for place in range(0, len(each), columns)]
        for each, columns in texts
    ]
    return [tuple(text for part in row for text in part) for row in zip(*split, strict=True)]
