"""Connections that send a request slowly, or none, over real sockets."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from bertedge.serve.connection import Limits, connections

from .conftest import PATIENCE_S, TEXTS, Server, Start

RECEIVE_S = 1.0
HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture(scope="module")
def hasty() -> Iterator[Server]:
    server = Server(TEXTS, "--max-receive", RECEIVE_S)
    yield server
    assert server.stop() == 0
    assert not [line for line in server.lines if "Traceback" in line], server.lines


def answered(server: Server, start: bytes, drop: bytes = b"") -> bytes:
    """Send the start, then a byte now and then, until the server closes; return what it sent."""
    found = b""
    with socket.create_connection(server.address, PATIENCE_S) as connection:
        connection.sendall(start)
        if drop:
            connection.settimeout(RECEIVE_S / 10)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                if not (part := connection.recv(10_000)):
                    return found
                found += part
            except TimeoutError:
                assert drop, "it was not closed"
                connection.sendall(drop)
            except ConnectionError:  # it was closed while we sent
                return found
    return pytest.fail("it was not closed")


@pytest.mark.parametrize("drop", [b"", b"y"])
@pytest.mark.parametrize(
    ("start", "status", "what"),
    [
        (b"POST /predict HTTP/1.1\r\nHost: a\r\nX: ", 408, "the head of the request did not come"),
        (HEAD + b'"a', 408, "the body did not come within 1 s"),
        (HEAD.replace(b"/predict", b"/nothing"), 404, "Not Found"),
    ],
)
def test_a_request_that_does_not_arrive_is_refused_and_closed(
    hasty: Server, start: bytes, drop: bytes, status: int, what: str
) -> None:
    head, _, body = answered(hasty, start, drop).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert what in json.loads(body)["error"]
    assert hasty.client.post("/predict", json="a").status_code == 200


def test_who_says_nothing_or_breaks_off_is_closed(hasty: Server) -> None:
    assert answered(hasty, b"") == b""
    assert b" 400 " in answered(hasty, b"\r\n", b"\r\n")


def test_many_that_say_half_keep_nobody_else_waiting(hasty: Server) -> None:
    slow = [socket.create_connection(hasty.address, PATIENCE_S) for _ in range(100)]
    for number, connection in enumerate(slow):
        connection.sendall(HEAD[: len(HEAD) // 2] if number % 2 else HEAD)
    assert hasty.client.post("/predict", json="a").status_code == 200
    for connection in slow:
        assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")
        connection.close()


def test_a_connection_is_kept_for_the_next_request(hasty: Server) -> None:
    with httpx.Client(base_url=hasty.url, timeout=PATIENCE_S) as client:
        used = set()
        for _ in range(2):
            found = client.post("/predict", json="a")
            assert found.status_code == 200
            used.add(found.extensions["network_stream"].get_extra_info("client_addr"))
            time.sleep(1.5 * RECEIVE_S)
    assert len(used) == 1


def test_a_slow_answer_is_waited_for() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(1.5 * RECEIVE_S)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})

    async def ask() -> bytes:
        config = uvicorn.Config(app, log_config=None)
        config.load()
        limits = Limits(seconds=RECEIVE_S, most=10, say=print)
        state, connect = ServerState(), connections(limits)
        server = await asyncio.get_running_loop().create_server(
            lambda: connect(config=config, server_state=state, app_state={}), "127.0.0.1"
        )
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            found = await reader.read()
            writer.close()
            return found

    found = asyncio.run(ask())
    assert found.startswith(b"HTTP/1.1 200 ")
    assert b"late" in found


@contextlib.contextmanager
def opened(server: Server, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        connect = socket.create_connection
        yield [stack.enter_context(connect(server.address, PATIENCE_S)) for _ in range(count)]


def is_closed(connection: socket.socket) -> bool:
    """Return whether the server closes it; what is open stays so for longer than this waits."""
    try:
        return not connection.recv(1000)
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_of_too_many_connections_the_longest_idle_are_closed(start: Start) -> None:
    server = start(TEXTS, "--max-connections", 20)
    assert server.client.post("/predict", json="a").status_code == 200  # and stays open
    with opened(server, 10) as early, opened(server, 20) as late:
        assert all(map(is_closed, early))
        with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
            assert client.post("/predict", json="a").status_code == 200
        assert is_closed(late[0]), "it gave way"
        late[-1].sendall(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
        assert late[-1].recv(1000).startswith(b"HTTP/1.1 200 ")
    assert server.stop() == 0
    full = [line for line in server.lines if "more than 20 connections" in line]
    assert len(full) == 1, server.lines


def test_a_connection_with_a_request_is_not_closed_for_others(start: Start) -> None:
    server = start(TEXTS, "--max-connections", 2)
    with opened(server, 2) as busy:
        for each in busy:
            each.sendall(HEAD.replace(b"Host", b"Expect: 100-continue\r\nHost"))
            assert each.recv(1000).startswith(b"HTTP/1.1 100 ")
            each.sendall(b'"a')
        with opened(server, 1) as more:
            found = b"".join(iter(lambda: more[0].recv(1000), b""))
        assert found.startswith(b"HTTP/1.1 503 ")
        assert b"2 connections have a request" in found
        for each in busy:
            each.sendall(b'"'.rjust(1000 - len(b'"a')))
            assert each.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_idle_connections_do_not_use_up_the_open_files(start: Start) -> None:
    server = start(TEXTS, files=256)
    assert "64 connections at a time" in server.wait_for("ulimit -n")
    with opened(server, 400):
        assert server.client.post("/predict", json="a").status_code == 200
    assert server.stop() == 0
    assert len(server.lines) == 4, server.lines  # the limit, the model, the address, the closing


def test_too_few_open_files_are_one_line() -> None:
    command = [sys.executable, "-m", "bertedge", "serve", str(TEXTS), "--port", "0"]
    run = subprocess.run(
        ["sh", "-c", 'ulimit -n 150; exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        "Error: this process may open 150 files; allow at least 193: ulimit -n 8384"
    ]
