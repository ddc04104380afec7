"""An open-loop load generator for HTTP/1.1: requests go out at times that were drawn before.

A latency is counted from the time at which its request was to be sent, however late the server, the
connection or this program was, so that a slow server cannot slow its own load down (coordinated
omission). Connections are kept open, and another is opened where all are busy.
"""

import asyncio
import gc
import itertools
import json
import math
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

HOST = "127.0.0.1"
LOST = 0
"""Status of a request that got no answer."""
REFUSED = -1
"""Status of a request whose connection was refused or closed before a byte of an answer."""
UNSENT = -2
"""Status of a request that was not sent, as the load was given up before."""
SPIN_S = 0.002
"""A sleep ends up to a millisecond late: the last of a wait is spent awake."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests, and when each is to be sent, in seconds from the start."""

    times: Sequence[float]
    requests: Sequence[bytes]
    most_connections: int = 8192
    patience_s: float = 10.0
    """How long answers are waited for after the last request."""
    give_up_s: float = math.inf
    """The load is given up once a request has waited so long for its answer."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of each request."""

    statuses: list[int]
    latencies: list[float]
    """Seconds from the time at which it was to be sent; 0 without an answer."""
    late: list[float]
    """Seconds from that time to when it was handed to the kernel: this program's own part."""
    seconds: float = 0.0
    given_up: bool = False

    def of(self, status: int = 200) -> list[float]:
        """Return the sorted latencies of the requests that have a status."""
        both = zip(self.latencies, self.statuses, strict=True)
        return sorted(latency for latency, found in both if found == status)

    def counts(self) -> dict[int, int]:
        return {each: self.statuses.count(each) for each in sorted(set(self.statuses))}


def pooled(outcomes: Iterable[Outcome]) -> list[float]:
    """Return the sorted latencies of the answers of several loads."""
    return sorted(itertools.chain.from_iterable(each.of() for each in outcomes))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the least value that `share` of all values do not exceed; infinite for none."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.inf


def milliseconds(ordered: Sequence[float]) -> dict[str, float | None]:
    """Return p50, p90 and p99 of sorted seconds."""
    if not ordered:
        return dict.fromkeys(("p50_ms", "p90_ms", "p99_ms"))
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99}
    return {name: round(1000 * percentile(ordered, share), 3) for name, share in shares.items()}


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Draw the times of a Poisson process."""
    draw = random.Random(seed)
    times, now = [], draw.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += draw.expovariate(rate)
    return times


def post(path: str, data: object, **headers: str) -> bytes:
    """Return a whole request of HTTP/1.1 with a body of JSON."""
    body = json.dumps(data).encode()
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


OnAnswer = Callable[[int, int, bytes], None]


@dataclass(slots=True, kw_only=True)
class _Run:
    """The state of a load under way."""

    load: Load
    port: int
    outcome: Outcome
    began: float
    on_answer: OnAnswer | None
    idle: list["_Connection"] = field(default_factory=list)
    open: set["_Connection"] = field(default_factory=set)
    unsettled: dict[int, float] = field(default_factory=dict)
    """Requests whose time has come and which have no answer, oldest first."""
    held: list[int] = field(default_factory=list)
    """Of these, those that wait for a connection."""
    opening: set[asyncio.Task[None]] = field(default_factory=set)

    def send(self, number: int) -> None:
        self.unsettled[number] = self.load.times[number]
        if self.idle:
            self.idle.pop().send(number)
        elif len(self.open) + len(self.opening) < self.load.most_connections:
            task = asyncio.create_task(self.connect(number))
            self.opening.add(task)
            task.add_done_callback(self.opening.discard)
        else:
            self.held.append(number)

    async def connect(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, made = await loop.create_connection(lambda: _Connection(self), HOST, self.port)
        except OSError:
            self.settle(number, REFUSED, b"")
            return
        made.send(number)

    def settle(self, number: int, status: int, body: bytes) -> None:
        if self.unsettled.pop(number, None) is None:
            return  # the load is over
        self.outcome.statuses[number] = status
        if status > 0:
            now = time.perf_counter() - self.began
            self.outcome.latencies[number] = now - self.load.times[number]
        if self.on_answer:
            self.on_answer(number, status, body)


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._number: int | None = None
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._run.open.add(self)

    def send(self, number: int) -> None:
        run = self._run
        if self._transport is None:  # it was closed as soon as it was open
            run.settle(number, REFUSED, b"")
            return
        self._number = number
        self._transport.write(run.load.requests[number])
        run.outcome.late[number] = time.perf_counter() - run.began - run.load.times[number]

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._number is None:
            return
        head = self._received[: end + 2]
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if not status or not length:
            raise ValueError(f"no answer with a Content-Length: {head[:200]!r}")
        body = self._received[end + 4 :]
        if len(body) < int(length[1]):
            return
        number, self._number, self._received = self._number, None, b""
        run = self._run
        if _CLOSE.search(head):
            self.close()
        elif run.held:
            self.send(run.held.pop(0))
        else:
            run.idle.append(self)
        run.settle(number, int(status[1]), body)

    def connection_lost(self, error: Exception | None) -> None:
        run = self._run
        self._transport = None
        run.open.discard(self)
        if self in run.idle:
            run.idle.remove(self)
        if self._number is not None:
            number, self._number = self._number, None
            run.settle(number, LOST if self._received else REFUSED, b"")
        if run.held:  # there is room for another
            run.send(run.held.pop(0))

    def close(self) -> None:
        if self._transport:
            self._transport.close()


async def run(load: Load, port: int, on_answer: OnAnswer | None = None) -> Outcome:
    """Send all requests at their times and wait for their answers."""
    count = len(load.times)
    outcome = Outcome(statuses=[UNSENT] * count, latencies=[0.0] * count, late=[0.0] * count)
    began = time.perf_counter()
    state = _Run(load=load, port=port, outcome=outcome, began=began, on_answer=on_answer)
    gc.disable()
    try:
        for number, due in enumerate(load.times):
            while (wait := due - (time.perf_counter() - began)) > 0:
                await asyncio.sleep(wait - SPIN_S if wait > 2 * SPIN_S else 0)
            if _oldest(state) > load.give_up_s:
                outcome.given_up = True
                break
            state.send(number)
            if not number % 8:
                await asyncio.sleep(0)  # answers are read even where this program is behind
        end = time.perf_counter() + load.patience_s
        while state.unsettled and time.perf_counter() < end:
            if outcome.given_up or _oldest(state) > load.give_up_s:
                outcome.given_up = True
                break
            await asyncio.sleep(0.001)
    finally:
        gc.enable()
        outcome.seconds = time.perf_counter() - began
        for number in list(state.unsettled):
            outcome.statuses[number] = LOST
        state.unsettled.clear()
        await _close(state)
    return outcome


def _oldest(state: _Run) -> float:
    """Return for how long the first request without an answer has waited."""
    due = next(iter(state.unsettled.values()), math.inf)
    return time.perf_counter() - state.began - due


async def _close(state: _Run) -> None:
    for task in list(state.opening):
        task.cancel()
    await asyncio.gather(*state.opening, return_exceptions=True)
    state.held.clear()
    for connection in list(state.open):
        connection._number = None
        connection.close()
    await asyncio.sleep(0.05)
