"""How a request is let in, and waits for its answer."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from bertedge.errors import shorten
from bertedge.serve.access import SERVED, Served
from bertedge.serve.config import ServeConfig
from bertedge.serve.keys import Keys
from bertedge.serve.metrics import Metrics
from bertedge.serve.models import Models, Reload, ServedModel
from bertedge.serve.request import (
    Answer,
    DeadlineError,
    QueueClosedError,
    Render,
    count_rows,
)
from bertedge.spec import Text
from bertedge.tasks.contract import PredictOptions

DEADLINE_HEADER = "x-request-timeout"
_NO_OPTIONS = PredictOptions()
_SOON = 0.02
"""Seconds for which a client's going away is not looked for, which costs more than most answers."""
_SWITCHES = 10
"""How often a model may be replaced between finding it and queueing a request."""


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
    reload: Callable[[], Awaitable[Reload]] | None = None
    """Does what SIGHUP does; set by the process."""

    @property
    def unready(self) -> str | None:
        """Why no request is let in."""
        if self.draining:
            return "the server is shutting down"
        return "the server is starting; try again in a second" if self.starting else None


@contextlib.asynccontextmanager
async def admitted(request: Request) -> AsyncIterator[None]:
    """Count a request as under way, with its deadline; 503 where none is let in."""
    service = service_of(request)
    if why := service.unready:
        raise HTTPException(503, why, {"Retry-After": "1"})
    served_of(request).deadline = read_deadline(request, service.config.max_wait)
    service.under_way += 1
    try:
        yield
    finally:
        service.under_way -= 1


def read_deadline(request: Request, max_wait: float) -> float:
    """Return when the request gives up: after `max_wait` seconds, or what it asks for if less."""
    given = request.headers.get(DEADLINE_HEADER)
    if request.scope["query_string"]:
        given = request.query_params.get("timeout", given)
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
    service = service_of(request)
    model = service.models.get(name)
    if model is None:
        known = ", ".join(service.models.by_name)
        raise HTTPException(404, f"no model {shorten(repr(name), 80)}; there are {known}")
    served = served_of(request)
    served.model, served.sha256 = name or service.config.bundles[0].name, model.sha256
    return model


def find_room(request: Request, name: str | None) -> ServedModel:
    """Return the model of a name; 404, and QueueFullError where its queue has hardly room."""
    model = find_model(request, name)
    model.queue.check_room()
    return model


def opened_models(request: Request) -> dict[str, ServedModel]:
    """Return all models by name; 503 while the server starts."""
    service = service_of(request)
    if service.starting:
        raise HTTPException(503, service.unready)
    return service.models.by_name


async def read_body(request: Request) -> bytes:
    """Return the body; 413 where it has too many bytes, 415 compressed, 408 slow."""
    config = service_of(request).config
    most, seconds = config.max_bytes, config.max_receive
    too_large = HTTPException(
        413, f"the body has more than {most:,} bytes; send less at a time", {"Connection": "close"}
    )
    if (coding := request.headers.get("content-encoding", "identity")) != "identity":
        raise HTTPException(415, f"the body is {shorten(coding, 40)}; send it as it is")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise HTTPException(
            408, f"the body did not come within {seconds:g} s", {"Connection": "close"}
        ) from None
    return bytes(body)


async def ask(
    request: Request,
    name: str | None,
    inputs: Sequence[Text],
    *,
    render: Render,
    options: PredictOptions = _NO_OPTIONS,
) -> Answer:
    """Queue inputs and wait for the answer; drop them where the client goes or time runs out.

    Too many of them are a 413.
    """
    most, deadline = service_of(request).config.max_rows, served_of(request).deadline
    if (rows := count_rows(inputs)) > most:
        raise HTTPException(413, f"{rows:,} rows in one request; send at most {most:,}")
    for _ in range(_SWITCHES):
        model = find_model(request, name)
        settled = model.predictor.model.task.settle(options)
        with contextlib.suppress(QueueClosedError):  # replaced meanwhile
            queued = model.queue.submit(inputs, settled, render=render, deadline=deadline)
            break
    else:
        raise HTTPException(503, "the model is being replaced all the time; try again")
    future = asyncio.wrap_future(queued)
    try:
        left = deadline - time.monotonic()
        await asyncio.wait((future,), timeout=max(min(left, _SOON), 0))
        if not future.done():
            await _watch(request, future, deadline)
        served = served_of(request)
        served.rows, served.answer = len(inputs), await future
        return served.answer
    finally:
        queued.cancel()
        future.cancel()


async def _watch(request: Request, future: "asyncio.Future[Answer]", deadline: float) -> None:
    """Wait for an answer; ClientDisconnect where the client goes, DeadlineError in the end."""
    gone = asyncio.ensure_future(_gone(request))
    try:
        first: set[asyncio.Future[Any]] = {future, gone}
        timeout = max(deadline - time.monotonic(), 0)
        await asyncio.wait(first, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise ClientDisconnect if gone.done() else DeadlineError
    finally:
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def timing(answer: Answer) -> dict[str, str]:
    """Return where the time went, in the header that browsers show."""
    parts = {
        "queue": answer.queue_s,
        "tokenize": answer.tokenize_s,
        "infer": answer.infer_s,
        "decode": answer.decode_s,
        "total": answer.total_s,
    }
    return {"Server-Timing": ", ".join(f"{k};dur={1000 * v:.3f}" for k, v in parts.items())}


def served_of(request: Request) -> Served:
    """Return what is noted of a request."""
    served = request.scope[SERVED]
    assert isinstance(served, Served)
    return served


def service_of(request: Request) -> Service:
    """Return what the handlers share."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service
