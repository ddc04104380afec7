"""A connection: what becomes of a request that takes too long to arrive, or is no HTTP.

And of connections that are too many: the one that is idle for longest is closed. uvicorn's own
limit answers a request with 503, and closes none, so that idle ones would use up all open files.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

_CLOSE = (b"connection", b"close")


_SAY_EVERY_S = 60.0


@dataclass(slots=True, kw_only=True)
class Limits:
    """What all connections of a server share."""

    seconds: float
    """What the head of a request has to arrive, and what its body has then."""
    most: int
    """Connections that are open at a time."""
    say: Callable[[str], None]
    idle: dict["Connection", None] = field(default_factory=dict)
    """Those that wait for the head of a request, longest first."""
    _said: float = field(default=-_SAY_EVERY_S, init=False)

    def say_full(self) -> None:
        """Warn of too many connections, once a minute."""
        if time.monotonic() - self._said >= _SAY_EVERY_S:
            self._said = time.monotonic()
            self.say(
                f"warning: more than {self.most:,} connections (--max-connections); "
                "the longest idle are closed"
            )


def connections(limits: Limits) -> Callable[..., "Connection"]:
    """Return what makes connections within limits."""

    def connect(**given: Any) -> Connection:
        found = Connection(**given)
        found.limits = limits
        return found

    return connect


class Connection(H11Protocol):
    """uvicorn's, which would wait for the rest of a request for ever."""

    limits: Limits
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request; where there are too many, make room."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._watch()
        limits = self.limits
        limits.idle[self] = None
        if len(self.connections) > limits.most:
            limits.say_full()
            oldest = next(iter(limits.idle))
            del limits.idle[oldest]
            if oldest is self:
                self._refuse(503, f"{limits.most:,} connections have a request; try again later")
            else:
                oldest.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._unwatch()
        self.limits.idle.pop(self, None)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is there already."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self.limits.idle[self] = None

    def data_received(self, data: bytes) -> None:
        """Take what came; the time runs until the request is there, however often a byte comes."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self.limits.idle.pop(self, None)
        if self.transport.is_closing() or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._unwatch()
        elif self._timer is None:
            self._watch()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(400, "this is no HTTP/1.1 request")

    def _watch(self) -> None:
        self._timer = self.loop.call_later(self.limits.seconds, self._end)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._watch()  # for whoever reads the body has the same time, and answers 408
        elif self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            seconds = self.limits.seconds
            self._refuse(408, f"the head of the request did not come within {seconds:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answer where nothing was answered yet, and close the connection."""
        if self.cycle is not None:
            self.cycle.disconnected = True  # for the handler: what it answers would come too late
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": message}).encode()
            length = (b"content-length", str(len(body)).encode())
            headers = [(b"content-type", b"application/json"), length, _CLOSE]
            for event in (
                h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status]),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
        self.transport.close()
