"""What a client meets whose turn does not come: a full queue, a deadline, its own going away."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from bertedge.runtime.encoding import Encoded
from bertedge.runtime.logits import Floats
from bertedge.serve.admission import Service
from bertedge.serve.app import make_app
from bertedge.serve.config import ServeConfig, ServedBundle
from bertedge.serve.keys import Keys
from bertedge.serve.queue import RunRows
from bertedge.serve.server import make_service

from .conftest import PATIENCE_S, TEXTS


class Held:
    """A service whose model runs nothing until it may."""

    def __init__(self, compat: str | None = None) -> None:
        bundle = ServedBundle(name="held", path=TEXTS)
        config = ServeConfig(bundles=[bundle], threads=1, max_queue=100, compat=compat)
        self.service: Service = make_service(config, Keys(None))
        self.service.models.open()
        self.service.starting = False
        self.may_run, self.running = threading.Event(), threading.Event()
        self.ran: list[int] = []
        model = self.service.models.get(None)
        assert model
        self.queue = model.queue
        self._run: RunRows = self.queue._run
        self.queue._run = self.run

    def run(self, rows: Sequence[Encoded]) -> Sequence[Floats]:
        self.running.set()
        assert self.may_run.wait(PATIENCE_S)
        self.ran.append(len(rows))
        return self._run(rows)

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(make_app(self.service))
        return httpx.AsyncClient(transport=transport, base_url="http://held", timeout=PATIENCE_S)


@pytest.fixture
def held(request: pytest.FixtureRequest) -> Iterator[Held]:
    found = Held(getattr(request, "param", None))
    yield found
    found.may_run.set()
    found.service.models.close()


def infer(text: str) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}]}


async def until(holds: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def test_a_full_queue_is_a_429_that_says_when_to_come_back(held: Held) -> None:
    async def ask() -> None:
        async with held.client() as client:
            first = asyncio.create_task(client.post("/predict", json="lights off"))
            await until(held.running.is_set)
            waits = asyncio.create_task(client.post("/predict", json="play jazz " * 12))
            await until(lambda: held.queue.queued_tokens > 0)
            refused = await client.post("/predict", json="play jazz " * 30)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert "tokens are queued; try again in" in refused.json()["error"]
            held.may_run.set()
            assert [(await each).status_code for each in (first, waits)] == [200, 200]

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("held", "path", "wrong"),
    [(None, "/predict", 400), (None, "/v2/models/held/infer", 400), ("tei", "/predict", 422)],
    indirect=["held"],
)
def test_a_full_queue_refuses_before_it_reads_what_is_asked(
    held: Held, path: str, wrong: int
) -> None:
    async def ask() -> None:
        async with held.client() as client:
            first = asyncio.create_task(client.post("/v2/models/held/infer", json=infer("lights")))
            await until(held.running.is_set)
            long = infer("x" * 4 * 96)
            waits = asyncio.create_task(client.post("/v2/models/held/infer", json=long))
            await until(lambda: held.queue.queued_tokens > 94)
            assert (await client.post(path, content=b"no JSON")).status_code == 429
            held.may_run.set()
            assert [(await each).status_code for each in (first, waits)] == [200, 200]
            assert (await client.post(path, content=b"no JSON")).status_code == wrong

    asyncio.run(ask())


def test_a_deadline_is_a_504_and_what_waited_for_it_is_not_run(held: Held) -> None:
    async def ask() -> None:
        async with held.client() as client:
            first = asyncio.create_task(client.post("/predict", json="lights off"))
            await until(held.running.is_set)
            late = await client.post("/predict?timeout=0.05", json=["a", "b"])
            assert late.status_code == 504
            assert held.queue.queued_tokens == 0
            held.may_run.set()
            assert (await first).status_code == 200
        assert held.ran == [1]

    asyncio.run(ask())


def test_what_a_client_that_went_away_had_asked_is_not_run(held: Held) -> None:
    async def ask() -> None:
        async with held.client() as client:
            first = asyncio.create_task(client.post("/predict", json="lights off"))
            await until(held.running.is_set)
            goes = asyncio.Event()
            sent: list[Any] = []
            body = json.dumps(["a", "b"]).encode()
            messages = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def receive() -> Any:
                for message in messages:
                    return message
                await goes.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                sent.append(message)

            scope = {
                "type": "http",
                "method": "POST",
                "path": "/predict",
                "raw_path": b"/predict",
                "root_path": "",
                "query_string": b"",
                "headers": [],
                "http_version": "1.1",
                "scheme": "http",
            }
            gone = asyncio.create_task(make_app(held.service)(scope, receive, send))
            await until(lambda: held.queue.queued_tokens > 0)
            goes.set()
            await gone
            assert held.queue.queued_tokens == 0
            assert sent[0]["status"] == 499
            held.may_run.set()
            assert (await first).status_code == 200
        assert held.ran == [1]
        assert held.service.under_way == 0

    asyncio.run(ask())


def test_a_model_that_fails_is_a_500_of_one_line(held: Held) -> None:
    def fails(rows: Sequence[Encoded]) -> Sequence[Floats]:
        raise RuntimeError("a secret of the machine")

    held.queue._run = fails

    async def ask() -> None:
        transport = httpx.ASGITransport(make_app(held.service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://held") as client:
            found = await client.post("/predict", json="a")
            assert found.status_code == 500
            assert found.json() == {"error": "the server failed; its log says why"}
            assert found.headers["x-request-id"]

    asyncio.run(ask())


def test_nothing_is_let_in_at_the_start_and_at_the_end(held: Held) -> None:
    async def ask() -> None:
        async with held.client() as client:
            for state, why in (("starting", "is starting"), ("draining", "is shutting down")):
                setattr(held.service, state, True)
                for found in (
                    await client.post("/predict", json="a"),
                    await client.get("/health/ready"),
                ):
                    assert found.status_code == 503
                    assert why in found.json()["error"]
                assert (await client.get("/health/live")).status_code == 200
                setattr(held.service, state, False)

    asyncio.run(ask())


WAITING = """
import gc, os, signal, socket, sys, threading, time
from pathlib import Path
from bertedge.serve import server
from bertedge.serve.config import ServeConfig, ServedBundle

made, make, go = [], server.make_service, threading.Event()
server.make_service = lambda *given: (made.append(make(*given)), made[0])[1]


def load(line):
    if "serving on" in line:
        threading.Thread(target=send, args=(int(line.split(";")[0].rsplit(":")[-1]),)).start()


def send(port):
    queue, count = made[0].models.get(None).queue, int(sys.argv[2])
    run = queue._run
    queue._run = lambda rows: (go.wait(60), run(rows))[1]
    full = [each["collections"] for each in gc.get_stats()][2]
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for each in clients:
        each.sendall(b"POST /predict HTTP/1.1\\nHost: x\\nContent-Length: 3\\n\\n" + b'"a"')
    while made[0].under_way < count:
        time.sleep(0.01)
    go.set()
    statuses = {each.recv(12) for each in clients}
    print(statuses, gc.get_stats()[2]["collections"] - full)
    os.kill(os.getpid(), signal.SIGTERM)


bundle = ServedBundle(name="m", path=Path(sys.argv[1]))
server.serve(ServeConfig(bundles=[bundle], port=0, threads=1), load)
"""


def test_requests_that_wait_are_not_looked_through_for_garbage() -> None:
    """A full collection stops all threads, the longer the more objects there are."""
    run = subprocess.run(
        [sys.executable, "-c", WAITING, str(TEXTS), "300"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert run.stdout == "{b'HTTP/1.1 200'} 0\n", run.stderr
