"""The HTTP side: routes, limits, and which status each mishap has."""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from bertedge.errors import BertedgeError, DataError, SettingError, shorten
from bertedge.serve import native, openai
from bertedge.serve.access import SERVED, Access, Served
from bertedge.serve.config import ServeConfig
from bertedge.serve.keys import KeyGuard, Keys
from bertedge.serve.metrics import CONTENT_TYPE, Metrics
from bertedge.serve.models import Models, ServedModel
from bertedge.serve.queue import (
    Answer,
    DeadlineError,
    QueueClosedError,
    QueueFullError,
    Render,
)
from bertedge.spec import Text
from bertedge.tasks.contract import PredictOptions

BODY_SECONDS = 30.0
"""What a client has to send a body."""
DEADLINE_HEADER = "x-request-timeout"
_SWITCHES = 10
"""How often a model may be replaced between finding it and queueing a request."""
_GONE = 499
"""What is noted of a client that went away: nobody reads it."""


@dataclass(slots=True, kw_only=True)
class Service:
    """What the handlers share."""

    config: ServeConfig
    models: Models
    keys: Keys
    metrics: Metrics
    starting: bool = True
    draining: bool = False
    under_way: int = field(default=0)
    """Requests that were let in."""

    @property
    def unready(self) -> str | None:
        """Why no request is let in."""
        if self.draining:
            return "the server is shutting down"
        return "the server is starting; try again in a second" if self.starting else None


def make_app(service: Service) -> Access:
    """Return the ASGI application."""
    app = Starlette(
        routes=[
            Route("/predict", _predict, methods=["POST"]),
            Route("/predict/{name}", _predict, methods=["POST"]),
            Route("/models", _models),
            Route("/v1/embeddings", _embed, methods=["POST"]),
            Route("/v1/models", _openai_models),
            Route("/metrics", _metrics),
            Route("/health/live", _live),
            Route("/health/ready", _ready),
        ],
        middleware=[Middleware(KeyGuard, keys=service.keys, refuse=error_response)],
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
    app.state.service = service
    return Access(app, service.metrics)


def error_response(
    path: str, status: int, message: str, headers: dict[str, str] | None = None
) -> Response:
    """Return an error as JSON of one line, in the shape of the protocol that a path is of."""
    line = shorten(message, 300)
    error = openai.error(line, status) if path.startswith(openai.PATHS) else line
    return json_response({"error": error}, status, headers)


def json_response(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return plain data as JSON."""
    body = json.dumps(data, ensure_ascii=False)
    return Response(body.encode(), status, headers, media_type="application/json")


async def _live(_: Request) -> Response:
    return json_response({"status": "live"})


async def _ready(request: Request) -> Response:
    why = _service(request).unready
    return _error(request, 503, why) if why else json_response({"status": "ready"})


async def _models(request: Request) -> Response:
    return json_response([_describe(name, each) for name, each in _opened(request).items()])


def _opened(request: Request) -> dict[str, ServedModel]:
    service = _service(request)
    if service.starting:
        raise HTTPException(503, service.unready)
    return service.models.by_name


async def _metrics(request: Request) -> Response:
    return Response(_service(request).metrics.render(), media_type=CONTENT_TYPE)


def _describe(name: str, model: ServedModel) -> dict[str, Any]:
    predictor = model.predictor
    spec = predictor.manifest.model
    return {
        "name": name,
        "task": spec.task.value,
        "problem_type": spec.rule.problem_type.value,
        "labels": list(spec.labels),
        "reads": list(spec.input_shape.keys),
        "max_length": spec.max_length,
        "variant": predictor.variant.name,
        "sha256": model.sha256,
    }


async def _predict(request: Request) -> Response:
    service = _service(request)
    name = request.path_params.get("name")
    async with admitted(service):
        deadline = read_deadline(request, service.config.max_wait)
        model = find_model(request, name)
        body = await read_body(request, service.config.max_bytes)
        shape = model.predictor.manifest.model.input_shape
        asked = native.read(body, shape)
        check_rows(asked.rows, service.config.max_rows)
        answer = await ask(
            request,
            name,
            asked.inputs,
            options=asked.options,
            render=native.writer(asked, shape),
            deadline=deadline,
        )
    return Response(answer.value, headers=timing(answer), media_type="application/json")


async def _embed(request: Request) -> Response:
    service = _service(request)
    async with admitted(service):
        deadline = read_deadline(request, service.config.max_wait)
        asked = openai.read(await read_body(request, service.config.max_bytes))
        model = find_model(request, asked.model)
        openai.check(asked, model)
        check_rows(len(asked.inputs), service.config.max_rows)
        answer = await ask(
            request,
            asked.model,
            asked.inputs,
            options=PredictOptions(),
            render=openai.writer(asked),
            deadline=deadline,
        )
    body = openai.answer_body(answer, asked.model or service.config.bundles[0].name)
    return Response(body, headers=timing(answer), media_type="application/json")


async def _openai_models(request: Request) -> Response:
    models = [openai.describe(name, each) for name, each in _opened(request).items()]
    return json_response({"object": "list", "data": models})


@contextlib.asynccontextmanager
async def admitted(service: Service) -> AsyncIterator[None]:
    """Count a request as under way; 503 where none is let in."""
    if why := service.unready:
        raise HTTPException(503, why, {"Retry-After": "1"})
    service.under_way += 1
    try:
        yield
    finally:
        service.under_way -= 1


def read_deadline(request: Request, max_wait: float) -> float:
    """Return when the request gives up: after `max_wait` seconds, or what it asks for if less."""
    given = request.query_params.get("timeout", request.headers.get(DEADLINE_HEADER))
    seconds = max_wait
    if given is not None:
        try:
            seconds = float(given)
        except ValueError:
            seconds = math.nan
        if not seconds > 0:  # NaN is not
            raise HTTPException(400, f"timeout is {shorten(repr(given), 40)}; give seconds above 0")
    return time.monotonic() + min(seconds, max_wait)


def find_model(request: Request, name: str | None) -> ServedModel:
    """Return the model of a name, without one the first; 404."""
    service = _service(request)
    model = service.models.get(name)
    if model is None:
        known = ", ".join(service.models.by_name)
        raise HTTPException(404, f"no model {shorten(repr(name), 80)}; there are {known}")
    _served(request).model = name or service.config.bundles[0].name
    return model


def check_rows(rows: int, most: int) -> None:
    """Raise 413 for more rows than are allowed."""
    if rows > most:
        raise HTTPException(413, f"{rows:,} rows in one request; send at most {most:,}")


async def read_body(request: Request, most: int) -> bytes:
    """Return the body; 413 where it has more than `most` bytes, 408 where it is slow."""
    too_large = HTTPException(
        413, f"the body has more than {most:,} bytes; send less at a time", {"Connection": "close"}
    )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise HTTPException(
            408, f"the body did not come within {BODY_SECONDS:.0f} seconds", {"Connection": "close"}
        ) from None
    return bytes(body)


async def ask(
    request: Request,
    name: str | None,
    inputs: Sequence[Text],
    *,
    options: PredictOptions,
    render: Render,
    deadline: float,
) -> Answer:
    """Queue inputs and wait for the answer; drop them where the client goes or time runs out."""
    for _ in range(_SWITCHES):
        model = find_model(request, name)
        settled = model.predictor.model.task.settle(options)
        with contextlib.suppress(QueueClosedError):  # replaced meanwhile
            queued = model.queue.submit(inputs, settled, render=render, deadline=deadline)
            break
    else:
        raise HTTPException(503, "the model is being replaced all the time; try again")
    future = asyncio.wrap_future(queued)
    gone = asyncio.ensure_future(_gone(request))
    try:
        timeout = max(deadline - time.monotonic(), 0)
        first: set[asyncio.Future[Any]] = {future, gone}
        await asyncio.wait(first, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            served = _served(request)
            served.rows, served.answer = len(inputs), await future
            return served.answer
        raise ClientDisconnect if gone.done() else DeadlineError
    finally:
        gone.cancel()
        queued.cancel()
        future.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def timing(answer: Answer) -> dict[str, str]:
    """Return where the time went, in the header that browsers show."""
    parts = {
        "queue": answer.queue_s,
        "tokenize": answer.tokenize_s,
        "infer": answer.infer_s,
        "total": answer.total_s,
    }
    return {"Server-Timing": ", ".join(f"{k};dur={1000 * v:.3f}" for k, v in parts.items())}


def _served(request: Request) -> Served:
    served = request.scope[SERVED]
    assert isinstance(served, Served)
    return served


def _service(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


def _error(
    request: Request, status: int, message: str, headers: dict[str, str] | None = None
) -> Response:
    return error_response(request.scope["path"], status, message, headers)


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
