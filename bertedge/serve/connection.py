"""A connection: what becomes of a request that takes too long to arrive, or is no HTTP."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

_CLOSE = (b"connection", b"close")


def connections(seconds: float) -> Callable[..., "Connection"]:
    """Return what makes connections in which a request may take so long to arrive."""

    def connect(**given: Any) -> Connection:
        found = Connection(**given)
        found.seconds = seconds
        return found

    return connect


class Connection(H11Protocol):
    """uvicorn's, which would wait for the rest of a request for ever."""

    seconds: float
    """What the head of a request has to arrive, and what its body has then."""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; the time runs until the request is there, however often a byte comes."""
        super().data_received(data)
        if self.transport.is_closing() or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._unwatch()
        elif self._timer is None:
            self._watch()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(400, "this is no HTTP/1.1 request")

    def _watch(self) -> None:
        self._timer = self.loop.call_later(self.seconds, self._end)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._watch()  # for whoever reads the body has the same time, and answers 408
        elif self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._refuse(408, f"the head of the request did not come within {self.seconds:g} s")
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
