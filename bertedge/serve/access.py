"""Each request's id, its trace, its line in the access log, and its place in the metrics."""

import datetime
import json
import logging
import math
import random
import re
import time
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bertedge.errors import shorten
from bertedge.serve.metrics import Metrics
from bertedge.serve.request import Answer

LOGGER = logging.getLogger("bertedge.serve.access")
"""Has a line of JSON a request, at the level INFO; no text of a request is in it."""
SERVED = "bertedge"
"""Key of a request's scope."""
_ID = re.compile(r"[\x21-\x7e]{1,128}")
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(slots=True, kw_only=True)
class Served:
    """What a handler notes of a request."""

    model: str = ""
    sha256: str = ""
    """Of the bundle that answers."""
    deadline: float = math.inf
    """When the client gives up, a time of `time.monotonic`."""
    rows: int = 0
    answer: Answer | None = None


class Access:
    """ASGI application around another, which sees every request and its end."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        served = scope[SERVED] = Served()
        headers = Headers(scope=scope)
        given, trace = headers.get("x-request-id", ""), headers.get("traceparent", "")
        own = {"x-request-id": given if _ID.fullmatch(given) else f"{random.getrandbits(128):032x}"}
        if _TRACE.fullmatch(trace):
            own["traceparent"] = trace
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(own)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._note(scope, served, status)
            if LOGGER.isEnabledFor(logging.INFO):
                LOGGER.info(_line(scope, served, status, own, time.monotonic() - began))

    def _note(self, scope: Scope, served: Served, status: int) -> None:
        self._metrics.count_request(served.model, status)
        if served.answer:
            self._metrics.count_answer(served.model, served.rows, served.answer)


def _line(scope: Scope, served: Served, status: int, own: dict[str, str], seconds: float) -> str:
    now = datetime.datetime.now(datetime.UTC)
    row: dict[str, object] = {
        "time": now.isoformat(timespec="milliseconds"),
        "id": own["x-request-id"],
        "traceparent": own.get("traceparent"),
        "client": (scope.get("client") or [None])[0],
        "method": scope["method"],
        "path": shorten(scope["path"], 200),
        "status": status,
        "model": served.model or None,
        "rows": served.rows,
        "ms": round(1000 * seconds, 3),
    }
    if answer := served.answer:
        row |= {
            "queue_ms": round(1000 * answer.queue_s, 3),
            "tokenize_ms": round(1000 * answer.tokenize_s, 3),
            "infer_ms": round(1000 * answer.infer_s, 3),
            "decode_ms": round(1000 * answer.decode_s, 3),
        }
    return json.dumps(row)
