"""OpenAI's embeddings: what clients of `/v1/embeddings` send, and what they read."""

import base64
import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bertedge.errors import DataError, shorten
from bertedge.predictions import Embedding, Prediction
from bertedge.serve.body import parse_object
from bertedge.serve.kinds import embedding_size
from bertedge.serve.models import ServedModel
from bertedge.serve.request import Answer
from bertedge.spec import LabelKind

PATHS = "/v1/"
FORMATS = ("float", "base64")
_KNOWN = ("input", "model", "encoding_format", "dimensions", "user")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request's body, read."""

    inputs: Sequence[str]
    model: str | None
    encoding_format: str
    dimensions: int | None


def read(body: bytes) -> Asked:
    """Read the body; DataError."""
    data = parse_object(body, '{"model": "…", "input": "…"}')
    if strange := set(data) - set(_KNOWN):
        names = shorten(", ".join(sorted(strange)))
        raise DataError(f"unknown key {names!r}; known are {', '.join(_KNOWN)}")
    given = data.get("input")
    inputs: list[Any] = given if isinstance(given, list) else [given]
    if not inputs or not all(isinstance(text, str) for text in inputs):
        raise DataError("input must be a string or a list of strings; token ids are not read")
    model, encoding_format = data.get("model"), data.get("encoding_format") or FORMATS[0]
    if not isinstance(model, str | None):
        raise DataError("model must be a string")
    if encoding_format not in FORMATS:
        found = shorten(repr(encoding_format))
        raise DataError(f"encoding_format is {found}; choose one of {', '.join(FORMATS)}")
    dimensions = data.get("dimensions")
    if dimensions is not None and type(dimensions) is not int:
        raise DataError("dimensions must be an integer")
    return Asked(inputs=inputs, model=model, encoding_format=encoding_format, dimensions=dimensions)


def check(asked: Asked, model: ServedModel) -> None:
    """Raise DataError where a model gives no embeddings, or others than were asked for."""
    task = model.predictor.manifest.model.task
    if task.labels_are is not LabelKind.VECTOR:
        raise DataError(f"this model is for {task}; its answers are at /predict")
    size = embedding_size(model)
    if asked.dimensions not in (None, size):
        raise DataError(f"dimensions is {asked.dimensions}; this model's embeddings have {size}")


def writer(asked: Asked) -> Callable[[Sequence[Prediction]], bytes]:
    """Return what makes the answer's `data` of the predictions."""

    def write(predictions: Sequence[Prediction]) -> bytes:
        rows = [
            {"object": "embedding", "index": index, "embedding": _coded(found, asked)}
            for index, found in enumerate(predictions)
        ]
        return json.dumps(rows).encode()

    return write


def answer_body(answer: Answer, model: str) -> bytes:
    """Return the whole answer."""
    usage = {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens}
    head = json.dumps({"object": "list", "model": model, "usage": usage})
    return b"".join((head[:-1].encode(), b', "data": ', answer.value, b"}"))


def error(message: str, status: int) -> dict[str, Any]:
    """Return an error as OpenAI's clients read it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"message": message, "type": kind, "param": None, "code": None}


def describe(name: str, model: ServedModel) -> dict[str, Any]:
    """Return a model as `/v1/models` lists it."""
    created = datetime.datetime.fromisoformat(model.predictor.manifest.created)
    return {
        "id": name,
        "object": "model",
        "created": int(created.timestamp()),
        "owned_by": "bertedge",
    }


def _coded(found: Prediction, asked: Asked) -> str | list[float]:
    if not isinstance(found, Embedding):  # the model was replaced meanwhile
        raise DataError("this model gives no embeddings any more")
    if asked.encoding_format == "base64":  # of little-endian float32
        return base64.b64encode(found.values.astype("<f4").tobytes()).decode()
    return [float(value) for value in found.values]
