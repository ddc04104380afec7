"""The HTTP side: routes, and which status each mishap has."""

import functools
import json
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from bertedge.errors import BertedgeError, DataError, SettingError, shorten
from bertedge.serve import admin, native, oip, openai, openapi, tei
from bertedge.serve.access import Access
from bertedge.serve.admission import (
    Service,
    admitted,
    ask,
    find_room,
    opened_models,
    read_body,
    service_of,
    timing,
)
from bertedge.serve.keys import KeyGuard
from bertedge.serve.metrics import CONTENT_TYPE
from bertedge.serve.models import ServedModel
from bertedge.serve.page import page_routes
from bertedge.serve.request import DeadlineError, QueueFullError
from bertedge.spec import LabelKind

_GONE = 499
"""What is noted of a client that went away: nobody reads it."""


def make_app(service: Service) -> Access:
    """Return the ASGI application."""
    refuse = functools.partial(error_response, compat=service.config.compat)
    app = Starlette(
        routes=[
            *(tei.routes() if service.config.compat == tei.NAME else ()),
            Route("/predict", _predict, methods=["POST"]),
            Route("/predict/{name}", _predict, methods=["POST"]),
            Route("/models", _models),
            Route("/v1/embeddings", _embed, methods=["POST"]),
            Route("/v1/models", _openai_models),
            *oip.routes(),
            *openapi.routes(),
            *admin.routes(),
            Route("/metrics", _metrics),
            Route("/health/live", _live),
            Route("/health/ready", _ready),
            *(page_routes() if service.config.page else ()),
        ],
        middleware=[Middleware(KeyGuard, keys=service.keys, refuse=refuse)],
        exception_handlers={
            HTTPException: _on_http_error,
            DataError: _on_bad_input,
            SettingError: _on_bad_input,
            QueueFullError: _on_full,
            DeadlineError: _on_late,
            ClientDisconnect: _on_gone,
            BertedgeError: _on_failure,
            Exception: _on_failure,
        },
    )
    app.router.redirect_slashes = False  # it would lead to where the Host header says
    app.state.service = service
    return Access(app, service.metrics)


def error_response(
    path: str,
    status: int,
    message: str,
    headers: dict[str, str] | None = None,
    *,
    compat: str | None = None,
) -> Response:
    """Return an error as JSON of one line, in the shape of the protocol that a path is of."""
    line = shorten(message, 300)
    if compat == tei.NAME and path in tei.PATHS:
        return json_response(tei.error(line, status), status, headers)
    error = openai.error(line, status) if path.startswith(openai.PATHS) else line
    return json_response({"error": error}, status, headers)


def json_response(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return plain data as JSON."""
    body = json.dumps(data, ensure_ascii=False)
    return Response(body.encode(), status, headers, media_type="application/json")


async def _live(_: Request) -> Response:
    return json_response({"status": "live"})


async def _ready(request: Request) -> Response:
    why = service_of(request).unready
    return _error(request, 503, why) if why else json_response({"status": "ready"})


async def _models(request: Request) -> Response:
    return json_response([_describe(name, each) for name, each in opened_models(request).items()])


async def _metrics(request: Request) -> Response:
    return Response(service_of(request).metrics.render(), media_type=CONTENT_TYPE)


def _describe(name: str, model: ServedModel) -> dict[str, Any]:
    predictor = model.predictor
    spec = predictor.manifest.model
    described = {
        "name": name,
        "task": spec.task.value,
        "problem_type": spec.rule.problem_type.value,
        "labels": list(spec.labels),
        "reads": list(spec.input_shape.keys),
        "max_length": spec.max_length,
        "variant": predictor.variant.name,
        "sha256": model.sha256,
    }
    if spec.task.labels_are is LabelKind.VOCABULARY:
        described["mask_token"] = predictor.tokenizer.token(predictor.tokenizer.mask)
    return described


async def _predict(request: Request) -> Response:
    name = request.path_params.get("name")
    async with admitted(request):
        model = find_room(request, name)
        shape = model.predictor.manifest.model.input_shape
        asked = native.read(await read_body(request), shape)
        write = native.writer(asked, shape)
        answer = await ask(request, name, asked.inputs, render=write, options=asked.options)
    return Response(answer.value, headers=timing(answer), media_type="application/json")


async def _embed(request: Request) -> Response:
    async with admitted(request):
        asked = openai.read(await read_body(request))
        openai.check(asked, find_room(request, asked.model))
        answer = await ask(request, asked.model, asked.inputs, render=openai.writer(asked))
    body = openai.answer_body(answer, asked.model or service_of(request).config.bundles[0].name)
    return Response(body, headers=timing(answer), media_type="application/json")


async def _openai_models(request: Request) -> Response:
    models = [openai.describe(name, each) for name, each in opened_models(request).items()]
    return json_response({"object": "list", "data": models})


def _error(
    request: Request, status: int, message: str, headers: dict[str, str] | None = None
) -> Response:
    compat = service_of(request).config.compat
    return error_response(request.scope["path"], status, message, headers, compat=compat)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(request, error.status_code, error.detail, dict(error.headers or {}))


async def _on_bad_input(request: Request, error: Exception) -> Response:
    return _error(request, 400, str(error))


async def _on_full(request: Request, error: Exception) -> Response:
    assert isinstance(error, QueueFullError)
    return _error(request, 429, str(error), {"Retry-After": str(error.retry_after_s)})


async def _on_late(request: Request, error: Exception) -> Response:
    return _error(request, 504, "the deadline passed before there was an answer")


async def _on_gone(_: Request, error: Exception) -> Response:
    return Response(status_code=_GONE)


async def _on_failure(request: Request, error: Exception) -> Response:
    if isinstance(error, BertedgeError):
        return _error(request, 500, str(error))
    return _error(request, 500, "the server failed; its log says why")
