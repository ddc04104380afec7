"""`/predict`, `/embed`, `/info` and `/health` as text-embeddings-inference has them.

TEI serves one model: here `/predict` is the first classifier, `/embed` the first bundle of
embeddings. Scores are the bundle's own: of several labels sigmoids, where TEI has a softmax.
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bertedge.errors import DataError, SettingError, shorten
from bertedge.predictions import (
    Classification,
    Embedding,
    MultiLabelClassification,
    Prediction,
    Regression,
)
from bertedge.serve.admission import (
    admitted,
    ask,
    find_room,
    opened_models,
    read_body,
    service_of,
    timing,
)
from bertedge.serve.body import parse_object
from bertedge.serve.kinds import check_kind, embedding_size, kind_of
from bertedge.serve.models import ServedModel
from bertedge.spec import Activation, Text
from bertedge.version import __version__

NAME = "tei"
PATHS = ("/predict", "/embed", "/info", "/health")
CLASSIFIERS = (Classification, MultiLabelClassification, Regression)
_ERROR_TYPES = {429: "Overloaded", 503: "Unhealthy", 400: "Validation", 413: "Validation"}
_ERROR_TYPES |= {422: "Validation"}
Body = dict[str, Any]
Write = Callable[[Sequence[Prediction]], bytes]


def routes() -> list[Route]:
    """Return the endpoints; `/predict` stands before the native one."""
    return [
        Route("/predict", _predict, methods=["POST"]),
        Route("/embed", _embed, methods=["POST"]),
        Route("/info", _info),
        Route("/health", _health),
    ]


def error(message: str, status: int) -> Body:
    """Return an error as TEI's clients read it."""
    return {"error": message, "error_type": _ERROR_TYPES.get(status, "Backend")}


def read_inputs(data: Body, model: ServedModel) -> tuple[list[Text], bool]:
    """Return the inputs of `/predict`, and whether they are a batch; DataError.

    A string, a pair of strings, or a batch of lists of one or two strings.
    """
    given = data.get("inputs")
    batch = isinstance(given, list) and bool(given) and isinstance(given[0], list)
    rows: list[Any] = given if batch and isinstance(given, list) else [given]
    shape = model.predictor.manifest.model.input_shape
    inputs: list[Text] = []
    for row in rows:
        parts = tuple(row) if isinstance(row, list) else (row,)
        texts = all(isinstance(part, str) for part in parts)
        if not texts or not shape.accepts(len(parts)) or (batch and not isinstance(row, list)):
            wanted = "a string" if shape.most == 1 else "a pair [string, string]"
            several = "[[string], …]" if shape.most == 1 else "[[string, string], …]"
            raise DataError(f"inputs must be {wanted}, or a batch {several}")
        inputs.append(parts[0] if shape.most == 1 else parts)
    return inputs, batch


def write_scores(data: Body, batch: bool, model: ServedModel) -> Write:
    """Return what makes the answer of `/predict`: labels by score, best first; DataError."""
    raw = _flag(data, "raw_scores", False)
    truncate = _flag(data, "truncate", True)
    labels = model.predictor.manifest.model.labels
    plain = model.predictor.manifest.model.rule.activation is Activation.IDENTITY
    if raw and (kind_of(model) is not Regression or not plain):
        raise DataError("raw_scores are not given: scores are probabilities; leave it out")

    def scored(found: Prediction) -> list[Body]:
        _check_length(found, truncate, model)
        if isinstance(found, Regression):
            value = found.value if raw or not plain else _sigmoid(found.value)
            return [{"score": value, "label": labels[0]}]
        check_kind(found, (Classification, MultiLabelClassification))
        assert isinstance(found, Classification | MultiLabelClassification)
        scores = sorted(found.scores.items(), key=lambda each: -each[1])
        return [{"score": score, "label": label} for label, score in scores]

    def write(predictions: Sequence[Prediction]) -> bytes:
        rows = [scored(found) for found in predictions]
        return json.dumps(rows if batch else rows[0], ensure_ascii=False).encode()

    return write


def write_vectors(data: Body, model: ServedModel) -> Write:
    """Return what makes the answer of `/embed`; DataError for what this model cannot do."""
    normalize, truncate = _flag(data, "normalize", True), _flag(data, "truncate", True)
    pooling = model.predictor.manifest.model.pooling
    normalized = pooling is not None and pooling.normalized
    if normalized and not normalize:
        raise DataError("this bundle normalizes its embeddings itself; leave normalize out")
    if data.get("prompt_name") is not None:
        raise DataError("prompt_name is not read; put the prompt before the text")
    size = embedding_size(model)
    if data.get("dimensions") not in (None, size):
        found = shorten(repr(data["dimensions"]), 40)
        raise DataError(f"dimensions is {found}; this model's embeddings have {size}")

    def vector(found: Prediction) -> list[float]:
        _check_length(found, truncate, model)
        check_kind(found, Embedding)
        assert isinstance(found, Embedding)
        values = found.values
        if normalize and not normalized:
            values = values / max(float(np.linalg.norm(values)), 1e-12)
        return [float(value) for value in values]

    def write(predictions: Sequence[Prediction]) -> bytes:
        return json.dumps([vector(found) for found in predictions]).encode()

    return write


def describe(name: str, model: ServedModel, max_rows: int, max_queue: int) -> Body:
    """Return what `/info` says of a model."""
    predictor = model.predictor
    spec = predictor.manifest.model
    numbered = {str(number): label for number, label in enumerate(spec.labels)}
    labels = {"id2label": numbered, "label2id": {label: int(i) for i, label in numbered.items()}}
    kind: Body = {"reranker": labels} if kind_of(model) is Regression else {"classifier": labels}
    if kind_of(model) is Embedding:
        kind = {"embedding": {"pooling": spec.pooling.mode.value if spec.pooling else "mean"}}
    return {
        "model_id": name,
        "model_sha": model.sha256,
        "model_dtype": predictor.variant.name,
        "model_type": kind,
        "max_concurrent_requests": max(max_queue // spec.max_length, 1),
        "max_input_length": spec.max_length,
        "max_batch_tokens": predictor.model.token_budget,
        "max_batch_requests": None,
        "max_client_batch_size": max_rows,
        "auto_truncate": True,
        "tokenization_workers": predictor.scheduler.workers,
        "version": __version__,
        "sha": None,
        "docker_label": None,
    }


def _flag(data: Body, name: str, default: bool) -> bool:
    given = data.get(name)
    if given is None:
        return default
    if not isinstance(given, bool):
        raise DataError(f"{name} is {shorten(repr(given), 40)}; give true or false")
    return given


def _check_length(found: Prediction, truncate: bool, model: ServedModel) -> None:
    if getattr(found, "truncated", False) and not truncate:
        most = model.predictor.manifest.model.max_length
        raise HTTPException(413, f"a text has more than the {most} tokens that the model reads")


def _sigmoid(value: float) -> float:
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    return math.exp(value) / (1 + math.exp(value))


def _first(request: Request, kinds: tuple[type[Prediction], ...], what: str) -> str:
    """Return the name of the first model that predicts one of `kinds`; 424."""
    for name, model in service_of(request).models.by_name.items():
        if kind_of(model) in kinds:
            return name
    raise HTTPException(424, f"no model here {what}; others are at /predict/NAME")


@contextlib.contextmanager
def _unprocessable() -> Iterator[None]:
    """Make what is wrong with a body a 422."""
    try:
        yield
    except (DataError, SettingError) as error:
        raise HTTPException(422, str(error)) from None


async def _read(request: Request) -> Body:
    data = parse_object(await read_body(request), '{"inputs": "…"}')
    if data.get("truncation_direction") not in (None, "Right", "right"):
        raise DataError("texts are cut at their end alone; leave truncation_direction out")
    return data


async def _predict(request: Request) -> Response:
    with _unprocessable():
        async with admitted(request):
            name = _first(request, CLASSIFIERS, "labels whole texts")
            model = find_room(request, name)
            data = await _read(request)
            inputs, batch = read_inputs(data, model)
            return await _answer(request, name, inputs, write_scores(data, batch, model))


async def _embed(request: Request) -> Response:
    with _unprocessable():
        async with admitted(request):
            name = _first(request, (Embedding,), "embeds texts")
            model = find_room(request, name)
            data = await _read(request)
            given = data.get("inputs")
            inputs: list[Any] = given if isinstance(given, list) else [given]
            if not inputs or not all(isinstance(text, str) for text in inputs):
                raise DataError("inputs must be a string or a list of strings")
            return await _answer(request, name, inputs, write_vectors(data, model))


async def _answer(request: Request, name: str, inputs: list[Text], write: Write) -> Response:
    answer = await ask(request, name, inputs, render=write)
    return Response(answer.value, headers=timing(answer), media_type="application/json")


async def _info(request: Request) -> Response:
    models = opened_models(request)
    kinds = (*CLASSIFIERS, Embedding)
    name = next((name for name, each in models.items() if kind_of(each) in kinds), None)
    if name is None:
        raise HTTPException(424, "no model here labels or embeds texts; see /models")
    config = service_of(request).config
    return JSONResponse(describe(name, models[name], config.max_rows, config.max_queue))


async def _health(request: Request) -> Response:
    if service_of(request).unready:
        raise HTTPException(503, "unhealthy")
    return Response()
