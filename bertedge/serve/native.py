"""The JSON of `/predict`: what `bertedge predict` reads and writes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bertedge.errors import DataError, shorten
from bertedge.predictions import Prediction, input_to_dict
from bertedge.serve.body import parse_body
from bertedge.spec import Aggregation, InputShape, Text
from bertedge.tasks.contract import PredictOptions

INPUTS = "inputs"
OPTIONS = ("aggregation", "top_k")
MOST_ANSWERS = 1000
"""The largest top_k."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request's body, read."""

    inputs: Sequence[Text]
    is_list: bool
    """Whether the answer is a list, or the one prediction."""
    options: PredictOptions


def read(body: bytes, shape: InputShape) -> Asked:
    """Read one input or a list of them; DataError.

    An input is a string, a list of strings or an object with the keys of `shape`; that object may
    hold options too, and so may one with the key "inputs".
    """
    data = parse_body(body)
    options = PredictOptions()
    if isinstance(data, dict):
        options = read_options(data)
        data = {key: value for key, value in data.items() if key not in OPTIONS}
        if INPUTS in data:
            if len(data) > 1:
                raise _unknown(set(data) - {INPUTS}, (INPUTS, *OPTIONS))
            data = data[INPUTS]
    # A list of strings could be one pair as well: what is in a list is always an input.
    is_list = isinstance(data, list)
    items = data if is_list else [data]
    inputs = [_input(item, f"input {number}", shape) for number, item in enumerate(items)]
    return Asked(inputs=inputs, is_list=is_list, options=options)


def writer(asked: Asked, shape: InputShape) -> Callable[[Sequence[Prediction]], bytes]:
    """Return what makes the answer's JSON of the predictions."""

    def write(predictions: Sequence[Prediction]) -> bytes:
        rows = [
            input_to_dict(text, shape) | found.to_dict()
            for text, found in zip(asked.inputs, predictions, strict=True)
        ]
        return json.dumps(rows if asked.is_list else rows[0], ensure_ascii=False).encode()

    return write


def read_options(data: dict[str, Any]) -> PredictOptions:
    """Return the options among the keys of an object; DataError."""
    aggregation, top_k = (data.get(name) for name in OPTIONS)
    if aggregation is not None and aggregation not in tuple(Aggregation):
        raise DataError(
            f"aggregation is {shorten(repr(aggregation))}; choose one of {', '.join(Aggregation)}"
        )
    if top_k is not None and (type(top_k) is not int or not 1 <= top_k <= MOST_ANSWERS):
        raise DataError(f"top_k is {shorten(repr(top_k))}; give 1 to {MOST_ANSWERS}")
    return PredictOptions(aggregation=aggregation, top_k=top_k)


def _input(item: Any, where: str, shape: InputShape) -> Text:
    if isinstance(item, dict):
        if strange := set(item) - set(shape.keys):
            raise _unknown(strange, shape.keys)
        item = [item.get(key) for key in shape.keys]
        if shape.most is None and isinstance(item[-1], list):
            item = [*item[:-1], *item[-1]]
    parts = tuple(item) if isinstance(item, list) else (item,)
    if not shape.accepts(len(parts)) or not all(isinstance(part, str) for part in parts):
        keys = " and ".join(f'"{key}"' for key in shape.keys)
        example = "a string" if shape.most == 1 else "a list of strings"
        raise DataError(f"{where} is none of this model: give {example}, or an object with {keys}")
    return parts[0] if shape.most == 1 else parts


def _unknown(found: set[str], known: Sequence[str]) -> DataError:
    names = ", ".join(sorted(found))
    return DataError(f"unknown key {shorten(names)!r}; known are {', '.join(known)}")
