"""The Open Inference Protocol, version 2, over HTTP: what KServe's and Triton's clients speak.

Texts are BYTES tensors, an input for each key of the model's JSON. Tensors may stand as bytes
behind the JSON, in both directions: the extension `binary_tensor_data`, which `tritonclient` uses.
A model's version is the beginning of its bundle's SHA-256.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bertedge.errors import DataError, shorten
from bertedge.predictions import Prediction
from bertedge.serve.admission import (
    admitted,
    ask,
    find_model,
    opened_models,
    read_body,
    served_of,
    service_of,
    timing,
)
from bertedge.serve.body import parse_object
from bertedge.serve.kinds import check_kind, kind_of
from bertedge.serve.models import ServedModel
from bertedge.serve.native import read_options
from bertedge.serve.tensors import (
    ANY,
    TEXT,
    Output,
    Tensor,
    join_inputs,
    make_tensor,
    outputs_of,
    read_texts,
)
from bertedge.spec import InputShape, Text
from bertedge.tasks.contract import PredictOptions
from bertedge.version import __version__

BINARY = "binary_tensor_data"
HEADER_LENGTH = "inference-header-content-length"
VERSION_DIGITS = 12
PLATFORM = "bertedge_onnx"
_LONGEST_NUMBER = 20
_UNREAD = ("classification", "shared_memory_region")
"""Parameters of tensors that would change the answer, of extensions that are not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for inference, read."""

    id: str | None
    inputs: Sequence[Text]
    options: PredictOptions
    outputs: Sequence[tuple[Output, bool]]
    """Those that are wanted, and whether as bytes."""
    kind: type[Prediction]


def routes() -> list[Route]:
    """Return the protocol's six endpoints, those of models with and without a version."""
    one = [
        Route("/v2", _server),
        Route("/v2/", _server),
        Route("/v2/health/live", _live),
        Route("/v2/health/ready", _ready),
    ]
    for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        one.append(Route(model, _model))
        one.append(Route(f"{model}/ready", _model_ready))
        one.append(Route(f"{model}/infer", _infer, methods=["POST"]))
    return one


def version_of(model: ServedModel) -> str:
    """Return the version that the protocol shows of a model."""
    return model.sha256[:VERSION_DIGITS]


def read(body: bytes, header_length: str | None, model: ServedModel) -> Asked:
    """Read a request's body, whose JSON ends where `header_length` says; DataError."""
    head, rest = _split(body, header_length)
    data = parse_object(head, '{"inputs": [...]}')
    given = data.get("id")
    if not isinstance(given, str | None):
        raise DataError("id must be a string")
    parameters = _parameters(data, "parameters of the request")
    shape = model.predictor.manifest.model.input_shape
    return Asked(
        id=given,
        inputs=_inputs(data.get("inputs"), rest, shape),
        options=read_options(parameters),
        kind=kind_of(model),
        outputs=_outputs(
            data.get("outputs"),
            outputs_of(model),
            binary=parameters.get("binary_data_output") is True,
        ),
    )


def writer(asked: Asked) -> Callable[[Sequence[Prediction]], list[Tensor]]:
    """Return what makes the tensors of the predictions."""

    def write(predictions: Sequence[Prediction]) -> list[Tensor]:
        for found in predictions:
            check_kind(found, asked.kind)
        return [make_tensor(each, predictions, binary=raw) for each, raw in asked.outputs]

    return write


def answer_body(head: dict[str, Any], tensors: Sequence[Tensor]) -> tuple[bytes, int | None]:
    """Return the answer, and where its JSON ends; None where there is nothing else."""
    parts = [
        json.dumps(tensor.to_dict(), ensure_ascii=False).encode()[:-1]
        + (b"}" if tensor.json is None else b', "data": ' + tensor.json + b"}")
        for tensor in tensors
    ]
    start = json.dumps(head, ensure_ascii=False).encode()[:-1]
    text = start + b', "outputs": [' + b", ".join(parts) + b"]}"
    if all(tensor.json is not None for tensor in tensors):
        return text, None
    return text + b"".join(tensor.raw for tensor in tensors), len(text)


def describe(name: str, model: ServedModel) -> dict[str, Any]:
    """Return a model's metadata."""
    shape = model.predictor.manifest.model.input_shape
    inputs = [
        {"name": key, "datatype": TEXT, "shape": [ANY]}
        | ({"shape": [ANY, ANY]} if shape.most is None and key == shape.keys[-1] else {})
        for key in shape.keys
    ]
    outputs = [
        {"name": each.name, "datatype": each.datatype, "shape": [ANY, *each.row]}
        for each in outputs_of(model)
    ]
    return {
        "name": name,
        "versions": [version_of(model)],
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": outputs,
    }


def _split(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    known = len(header_length) <= _LONGEST_NUMBER and header_length.isdecimal()
    if not known or int(header_length) > len(body):
        found = shorten(repr(header_length), 40)
        raise DataError(f"{HEADER_LENGTH} is {found}; the body has {len(body)} bytes")
    return body[: int(header_length)], body[int(header_length) :]


def _parameters(data: dict[str, Any], where: str) -> dict[str, Any]:
    parameters: Any = data.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise DataError(f"{where} are no object")
    if wrong := next((name for name in _UNREAD if name in parameters), None):
        raise DataError(f"{where} have {wrong}, an extension that is not there; leave it out")
    return dict(parameters)


def _named(tensors: Any, what: str, known: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return tensors by name, in their order; DataError for what is none, strange or twice."""
    named: dict[str, dict[str, Any]] = {}
    listed: list[Any] = tensors if isinstance(tensors, list) else [None]
    for tensor in listed:
        name = tensor.get("name") if isinstance(tensor, dict) else None
        if not isinstance(name, str):
            raise DataError(f"{what}s must be a list of objects with a name")
        if name not in known:
            found = shorten(repr(name), 60)
            raise DataError(f"no {what} {found}; this model's are {', '.join(known)}")
        if name in named:
            raise DataError(f"{what} {name} is given twice")
        named[name] = tensor
    return named


def _inputs(tensors: Any, rest: bytes, shape: InputShape) -> list[Text]:
    named = _named(tensors, "input", shape.keys)
    if missing := [key for key in shape.keys if key not in named]:
        raise DataError(f"input {missing[0]} is missing; this model reads {', '.join(shape.keys)}")
    texts, place = {}, 0
    for name, tensor in named.items():
        size = _parameters(tensor, f"parameters of input {name}").get("binary_data_size")
        raw = None
        if size is not None:
            if type(size) is not int or not 0 <= size <= len(rest) - place:
                found = f"{shorten(repr(size), 40)}; {len(rest) - place} bytes are left"
                raise DataError(f"binary_data_size of input {name} is {found}")
            raw = rest[place : place + size]
            place += size
        texts[name] = read_texts(tensor, raw, shape)
    if place < len(rest):
        raise DataError(f"{len(rest) - place} bytes behind the JSON belong to no input")
    return join_inputs([texts[key] for key in shape.keys], shape)


def _outputs(
    tensors: Any, known: Sequence[Output], *, binary: bool
) -> tuple[tuple[Output, bool], ...]:
    if not tensors:
        return tuple((each, binary) for each in known)
    by_name = {each.name: each for each in known}
    wanted = []
    for name, tensor in _named(tensors, "output", tuple(by_name)).items():
        parameters = _parameters(tensor, f"parameters of output {name}")
        wanted.append((by_name[name], parameters.get("binary_data", binary) is True))
    return tuple(wanted)


async def _server(_: Request) -> Response:
    return JSONResponse({"name": "bertedge", "version": __version__, "extensions": [BINARY]})


async def _live(_: Request) -> Response:
    return JSONResponse({"live": True})


async def _ready(request: Request) -> Response:
    _check_ready(request)
    return JSONResponse({"ready": True})


async def _model(request: Request) -> Response:
    opened_models(request)
    name = request.path_params["name"]
    return JSONResponse(describe(name, _find(request)))


async def _model_ready(request: Request) -> Response:
    _check_ready(request)
    _find(request)
    return JSONResponse({"name": request.path_params["name"], "ready": True})


async def _infer(request: Request) -> Response:
    name = request.path_params["name"]
    async with admitted(request):
        model = _find(request)
        model.queue.check_room()
        asked = read(await read_body(request), request.headers.get(HEADER_LENGTH), model)
        write = writer(asked)
        answer = await ask(request, name, asked.inputs, render=write, options=asked.options)
        version = served_of(request).sha256[:VERSION_DIGITS]
        _check_version(request, version)
    head = {"model_name": name, "model_version": version}
    if asked.id is not None:
        head["id"] = asked.id
    content, length = answer_body(head, answer.value)
    headers = timing(answer)
    if length is None:
        return Response(content, headers=headers, media_type="application/json")
    headers[HEADER_LENGTH] = str(length)
    return Response(content, headers=headers, media_type="application/octet-stream")


def _check_ready(request: Request) -> None:
    if why := service_of(request).unready:
        raise HTTPException(503, why)


def _find(request: Request) -> ServedModel:
    model = find_model(request, request.path_params["name"])
    _check_version(request, version_of(model))
    return model


def _check_version(request: Request, served: str) -> None:
    given = request.path_params.get("version")
    if given not in (None, served):
        raise HTTPException(404, f"no version {shorten(repr(given), 60)}; there is {served}")
