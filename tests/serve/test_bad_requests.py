"""Bad requests by the thousand, over real sockets to every route: a 4xx of one line, and no 500."""

import contextlib
import json
import random
import socket
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import INTENTS, PATIENCE_S, TAGS, TEXTS, Server
from .test_openai import embedder  # noqa: F401 (a fixture)

REQUESTS = 1000
MOST_BYTES = 5000
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "post", "X" * 300)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, 2**70, "", "\0", "\ud800", "\U0001f642", "x" * 500),
    *([], {}, [[]], [None], ["a", 7], {"": ""}, {"text": None}, {"inputs": [{}]}, [[["a"]]]),
)
RAW = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(60)),  # TLS says hello
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET  /models  HTTP/1.1\r\n\r\n",
    b"GET /models HTTP/1.1\r\n\r\n",  # no Host
    b"GET /models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /models HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n",
    b"GET /models HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    b"GET /mod\xc3\xa9ls HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"\r\n" * 10 + b"\0" * 100 + b"\r\n\r\n",
    b"\xff" * 100 + b"\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: one\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1" + b"0" * 30 + b"\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
)
CHUNKS = (
    b"zz\r\n",
    b"-1\r\na",
    b"3\r\nabcd\r\n",
    b"fffffffffffffffffffffff\r\n",
    b"\0\0\0\0",
    b"\r\n\r\n",
)


@pytest.fixture(scope="module")
def target(embedder: Path) -> Iterator[Server]:  # noqa: F811
    bundles = (f"texts={TEXTS}", f"tags={TAGS}", f"intents={INTENTS}", f"vectors={embedder}")
    limits = ("--max-bytes", MOST_BYTES, "--max-rows", 20, "--max-receive", 2)
    server = Server(*bundles, *limits, "--compat", "tei")
    yield server
    assert server.stop() == 0
    assert not [line for line in server.lines if "Traceback" in line], server.lines
    assert not [line for line in server.lines if "under way" in line], server.lines


class Sender:
    """Sends bytes and reads answers; a connection is used again while the server keeps it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._socket: socket.socket | None = None

    def send(self, raw: bytes) -> tuple[int, bytes] | None:
        """Return status and body; None where the server closes without an answer."""
        self.put(raw)
        return self.answer()

    def put(self, raw: bytes) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(self._server.address, PATIENCE_S)
        with contextlib.suppress(ConnectionError):  # what it said before it closed can be read
            self._socket.sendall(raw)

    def answer(self) -> tuple[int, bytes] | None:
        found = b""
        try:
            while b"\r\n\r\n" not in found:
                found += self._read()
            head, _, body = found.partition(b"\r\n\r\n")
            lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(lines[b"content-length"])
            while len(body) < length:
                body += self._read()
        except ConnectionError:
            assert not found.partition(b"\r\n\r\n")[1], found
            self.close()
            return None
        if lines.get(b"connection") == b"close":
            self.close()
        return int(head.split(b" ", 2)[1]), body[:length]

    def _read(self) -> bytes:
        assert self._socket
        if part := self._socket.recv(65536):
            return part
        raise ConnectionResetError

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket = None


def assert_refused(found: tuple[int, bytes] | None, sent: object, *, or_200: bool = False) -> None:
    assert found, sent
    status, body = found
    if or_200 and status == 200:
        return
    assert 400 <= status < 500, (status, sent)
    error = json.loads(body)["error"]
    message = error["message"] if isinstance(error, dict) else error
    assert isinstance(message, str) and message, (body, sent)
    assert "\n" not in message and len(message) <= 300, (body, sent)


def http(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


Posts = dict[str, list[Any]]


@pytest.fixture(scope="module")
def posts(target: Server) -> Posts:
    """Good bodies of each path that has any."""
    paths = target.client.get("/openapi.json").json()["paths"]
    found: Posts = {}
    for template, item in paths.items():
        content = item.get("post", {}).get("requestBody", {}).get("content", {})
        examples = content.get("application/json", {}).get("examples", {})
        for name, example in examples.items():
            path = template.format(name=name, version="0" * 12)
            found.setdefault(path, []).append(example["value"])
    assert len(found) >= 4 + 2 + 2 * 4 + 1
    return found


def spoilt(value: Any, rng: random.Random) -> Any:
    """Return a copy in which one part is another, is gone, or is too much."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        rest = {name: each for name, each in value.items() if name != key}
        match rng.randrange(4):
            case 0:
                return rest
            case 1:
                return value | {rng.choice(["x", "", "\0", key.upper()]): rng.choice(VALUES)}
            case _:
                return rest | {key: spoilt(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], spoilt(value[place], rng), *value[place + 1 :]]
    return rng.choice(VALUES)


def broken(body: bytes, rng: random.Random) -> bytes:
    """Return bytes that are no JSON."""
    match rng.randrange(6):
        case 0:
            return body[: rng.randrange(len(body) - 1)] if body[:1] in b'[{"' else b""
        case 1:
            return rng.choice([b"[", b'{"inputs":', b'{"a":[']) * rng.randint(500, 800)
        case 2:
            return body + rng.choice([b"\0", b"}", b" 7", b"\xff"])
        case 3:
            return (
                b'{"inputs": "'
                + rng.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\0", b"\n"])
                + b'"}'
            )
        case 4:
            return (
                b'{"inputs": "'
                + rng.choice([b"\\ud800", b"\\udc00\\ud800", b"\\u12", b"\\x"])
                + b'"}'
            )
        case _:
            return rng.choice(
                [b"NaN", b"-Infinity", b"nul", b"'a'", b"1" * 5000, b"\xef\xbb\xbf[]", b""]
            )


def test_bodies_that_are_wrong_are_refused(target: Server, posts: Posts) -> None:
    for seed in range(3):
        rng, sender = random.Random(seed), Sender(target)
        for _ in range(REQUESTS):
            path = rng.choice(list(posts))
            good = rng.choice(posts[path])
            if rng.random() < 0.5:
                body = json.dumps(spoilt(good, rng)).encode()  # it may be good still
                assert_refused(sender.send(http("POST", path, body)), (path, body), or_200=True)
            else:
                body = broken(json.dumps(good).encode(), rng)
                assert_refused(sender.send(http("POST", path, body)), (path, body))
        sender.close()
    assert_well(target)


def test_what_is_wrong_beside_the_body_is_refused(target: Server, posts: Posts) -> None:
    rng, sender = random.Random(0), Sender(target)
    kinds: list[Callable[[str, bytes], bytes]] = [
        lambda path, body: http("POST", path, b"x" * (MOST_BYTES + 1)),
        lambda path, body: http("POST", path, body, "Content-Encoding: gzip"),
        lambda path, body: http("POST", path, body, f"Content-Encoding: {'x' * 500}"),
        lambda path, body: http(
            "POST", f"{path}?timeout={rng.choice(['', 'x', '-1', 'nan'])}", body
        ),
        lambda path, body: http("POST", path, body, "X-Request-Timeout: \xff"),
        lambda path, body: http(
            "POST", f"{path}{rng.choice(['/', '%00', '/..', '%ff%fe', 'x'])}", body
        ),
        lambda path, body: http(
            "POST", f"/{''.join(rng.choices(string.printable[:94], k=9))}", body
        ),
        lambda path, body: http(rng.choice(METHODS[2:]), path, body),
        lambda path, body: http("POST", rng.choice(["*", "a:b", "//", "/%", "/é", path[1:]]), body),
    ]
    for number in range(REQUESTS):
        path = rng.choice(list(posts))
        raw = kinds[number % len(kinds)](path, json.dumps(posts[path][0]).encode())
        assert_refused(sender.send(raw), raw)
    for path in ("/v2/models/texts/infer", "/v2/models/vectors/infer"):
        body = json.dumps(posts[path][0]).encode()
        for length in ("", "x", "-1", "1e3", "9" * 30, str(len(body) + 1), "3", "²"):
            raw = http("POST", path, body, f"Inference-Header-Content-Length: {length}")
            assert_refused(sender.send(raw), raw)
    sender.close()
    assert_well(target)


def test_every_route_refuses_methods_that_it_has_not(target: Server) -> None:
    sender = Sender(target)
    for path, item in target.client.get("/openapi.json").json()["paths"].items():
        for method in METHODS:
            if method.lower() not in item or method == "post":
                where = path.format(name="texts", version="0" * 12)
                assert_refused(sender.send(http(method, where)), (method, where))
    sender.close()
    assert_well(target)


def test_other_content_types_are_read_or_refused(target: Server, posts: Posts) -> None:
    sender = Sender(target)
    for path, bodies in posts.items():
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "\xff",
        ):
            raw = http("POST", path, json.dumps(bodies[0]).encode(), f"Content-Type: {kind}")
            assert_refused(sender.send(raw), raw, or_200=True)
            raw = http("POST", path, b"inputs=a&text=b", f"Content-Type: {kind}")
            assert_refused(sender.send(raw), raw)
    sender.close()
    assert_well(target)


def test_what_is_no_http_is_a_400_and_closed(target: Server, posts: Posts) -> None:
    rng = random.Random(0)
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    raws = [*RAW]
    for path in [*posts, "/nothing", "/models", "/admin/reload"]:
        raws += [head % path.encode() + chunk for chunk in CHUNKS]
        raws += [head % path.encode() + b"2\r\n[]\r\n" + chunk for chunk in CHUNKS]
    for _ in range(200):
        raws.append(rng.randbytes(rng.randint(1, 300)) + b"\r\n\r\n")
    for start in range(0, len(raws), 100):  # some are half a request, which it waits for
        sent = [(raw, Sender(target)) for raw in raws[start : start + 100]]
        for raw, sender in sent:
            sender.put(raw)
        for raw, sender in sent:
            assert_refused(sender.answer(), raw)
            sender.close()
    assert_well(target)


def test_slow_and_broken_off_requests_hold_nobody_up(target: Server, posts: Posts) -> None:
    rng, waiting = random.Random(0), []
    for number in range(200):
        path = rng.choice(list(posts))
        raw = http("POST", path, json.dumps(posts[path][0]).encode())
        connection = socket.create_connection(target.address, PATIENCE_S)
        connection.sendall(raw[: rng.randrange(5, len(raw))])
        if number % 2:
            waiting.append(connection)
        else:
            connection.close()
    assert_well(target)
    for connection in waiting:
        status = int(connection.recv(1000).split(b" ", 2)[1])
        assert status in (404, 408)  # where there is no such version nobody reads on
        connection.close()
    assert_well(target)


def assert_well(server: Server) -> None:
    """A good request is answered, nothing waits, and nothing failed."""
    found = server.client.post("/predict/texts", json="lights off")
    assert found.status_code == 200
    assert server.client.get("/health/ready").status_code == 200
    for model in server.client.get("/status").json()["models"]:
        assert model["queued_tokens"] == 0
    assert 'code="500"' not in server.client.get("/metrics").text
