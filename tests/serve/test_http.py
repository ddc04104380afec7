"""What HTTP clients meet: the answers of `bertedge predict`, and a clear 4xx for all else."""

import json
import random
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bertedge.cli import main
from bertedge.errors import DataError
from bertedge.serve import native
from bertedge.serve.request import count_rows
from bertedge.spec import CHOICES, PAIR, QUESTION, SINGLE, InputShape

from .conftest import INTENTS, TAGS, TEXTS, Server

SENTENCES = ["turn the hall lights off", "play jazz in the kitchen", "", "日本語 🙂 \u0000 x"]


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4) + 0.0
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def predicted(bundle: Path, texts: list[str]) -> list[Any]:
    """What `bertedge predict` prints."""
    done = CliRunner().invoke(main, ["predict", str(bundle), *texts])
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("name", "bundle"), [("texts", TEXTS), ("tags", TAGS), ("intents", INTENTS)]
)
def test_answers_are_those_of_bertedge_predict(server: Server, name: str, bundle: Path) -> None:
    expected = rounded(predicted(bundle, SENTENCES))
    found = server.client.post(f"/predict/{name}", json=SENTENCES)
    assert (found.status_code, found.headers["content-type"]) == (200, "application/json")
    assert rounded(found.json()) == expected
    for body in ({"text": SENTENCES[0]}, {"inputs": SENTENCES[0]}, SENTENCES[0]):
        one = server.client.post(f"/predict/{name}", json=body)
        assert rounded(one.json()) == expected[0]
    several = server.client.post(
        f"/predict/{name}", json={"inputs": [{"text": text} for text in SENTENCES]}
    )
    assert rounded(several.json()) == expected
    assert list(several.json()[0]) == list(expected[0])


def test_the_first_model_answers_where_none_is_named(server: Server) -> None:
    one, other = (server.client.post(f"/predict{name}", json="hi") for name in ("", "/texts"))
    assert one.json() == other.json()


def test_options_are_those_of_predict(server: Server) -> None:
    text = "play jazz in the kitchen"
    by_token = server.client.post("/predict/tags", json={"text": text, "aggregation": "none"})
    by_word = server.client.post("/predict/tags", json={"text": text})
    assert len(by_token.json()["entities"]) >= len(by_word.json()["entities"])
    assert by_token.json() != by_word.json()


def test_where_the_time_went_is_in_a_header(server: Server) -> None:
    header = server.client.post("/predict", json="hi").headers["server-timing"]
    times = dict(part.split(";dur=") for part in header.split(", "))
    assert list(times) == ["queue", "tokenize", "infer", "decode", "total"]
    parts = [float(times[name]) for name in ("queue", "tokenize", "infer", "decode")]
    assert min(parts) >= 0
    assert sum(parts) <= float(times["total"]) + 0.01


def test_models_are_described(server: Server) -> None:
    found = server.client.get("/models").json()
    assert [each["name"] for each in found] == ["texts", "tags", "intents"]
    assert found[0]["labels"] == ["lights", "music", "heating", "other"]
    assert found[0]["task"] == "text-classification"
    assert found[1]["sha256"] == json.loads((TAGS / "bertedge.json").read_text())["manifest_sha256"]


def test_the_state_of_health_is_shown(server: Server) -> None:
    for path in ("/health/live", "/health/ready"):
        assert server.client.get(path).status_code == 200


WRONG_BODIES: list[tuple[bytes, str]] = [
    (b"", "no JSON"),
    (b'{"text": "a"', "no JSON"),
    (b"[" * 5000, "nested too deeply"),
    (b'{"a":' * 3000 + b"1" + b"}" * 3000, "nested too deeply"),
    (b'"\xff\xfe"', "not UTF-8"),
    (b'"\\ud800"', "lone surrogate"),
    (b'["\\udc00\\ud800"]', "lone surrogate"),
    (b"NaN", "NaN"),
    (b"9" * 6000, "no JSON"),
    (b"null", "input 0 is none of this model"),
    (b"true", "input 0 is none of this model"),
    (b"12", "input 0 is none of this model"),
    (b"[[[]]]", "input 0 is none of this model"),
    (b'["a", 7]', "input 1 is none of this model"),
    (b'[["a", "b"]]', "input 0 is none of this model"),
    (b'{"text": null}', "input 0 is none of this model"),
    (b'{"text": ["a"]}', "input 0 is none of this model"),
    (b'{"txet": "a"}', "unknown key 'txet'; known are text"),
    (b'{"inputs": "a", "text": "b"}', "unknown key 'text'; known are inputs, aggregation, top_k"),
    (b'{"inputs": {"inputs": "a"}}', "unknown key 'inputs'"),
    (b"{}", "input 0 is none of this model"),
    (b'{"text": "a", "top_k": 3}', "neither fills masks nor answers"),
    (b'{"text": "a", "top_k": true}', "top_k is True; give 1 to"),
    (b'{"text": "a", "top_k": 1e3}', "top_k is 1000.0; give 1 to"),
    (b'{"text": "a", "top_k": 99999999999999999999}', "top_k is 99999999999999999999; give 1 to"),
    (b'{"text": "a", "aggregation": "most"}', "aggregation is 'most'; choose one of none"),
    (b'{"text": "a", "aggregation": [1]}', "aggregation is [1]; choose one of none"),
    (b'{"text": "a", "aggregation": "none"}', "labels whole texts"),
]


@pytest.mark.parametrize(("body", "message"), WRONG_BODIES)
def test_a_wrong_body_is_a_400_of_one_line(server: Server, body: bytes, message: str) -> None:
    found = server.client.post("/predict", content=body)
    assert found.status_code == 400
    assert_one_line(found.json(), message)


def assert_one_line(data: Any, message: str) -> None:
    assert list(data) == ["error"]
    assert message in data["error"]
    assert "\n" not in data["error"] and len(data["error"]) <= 300


@pytest.mark.parametrize("seed", range(3))
def test_no_broken_body_is_a_500(server: Server, seed: int) -> None:
    rng = random.Random(seed)
    whole = json.dumps({"inputs": [{"text": "turn 🙂 off"}, "b"], "top_k": 3}).encode()
    for _ in range(60):
        body = bytearray(whole[: rng.randint(0, len(whole))])
        for _ in range(rng.randint(0, 3)):
            if body:
                body[rng.randrange(len(body))] = rng.randrange(256)
        found = server.client.post("/predict/tags", content=bytes(body))
        assert found.status_code in (200, 400), bytes(body)


def test_other_mishaps_have_their_own_status(server: Server) -> None:
    ask = server.client
    for found, status, message in (
        (ask.get("/predict"), 405, "Method Not Allowed"),
        (ask.delete("/models"), 405, "Method Not Allowed"),
        (ask.get("/nothing"), 404, "Not Found"),
        (ask.post("/predict/other", json="a"), 404, "no model 'other'; there are texts, tags, int"),
        (ask.post("/predict/%00%1b[2J", json="a"), 404, "no model"),
        (ask.post("/predict?timeout=soon", json="a"), 400, "timeout is 'soon'; give seconds"),
        (ask.post("/predict?timeout=-1", json="a"), 400, "timeout is '-1'; give seconds"),
        (ask.post("/predict?timeout=nan", json="a"), 400, "timeout is 'nan'; give seconds"),
        (ask.post("/predict", json="a", headers={"Content-Encoding": "gzip"}), 415, "is gzip; "),
        (ask.post("/predict", json=["a"] * 41), 413, "41 rows in one request; send at most 40"),
        (ask.post("/predict", content=b" " * 20001), 413, "more than 20,000 bytes"),
        (ask.post("/predict", content=iter([b" " * 15000] * 2)), 413, "more than 20,000 bytes"),
        (ask.post("/predict", json="a", headers={"X-Request-Timeout": "1e-9"}), 504, "deadline"),
    ):
        assert found.status_code == status, message
        assert_one_line(found.json(), message)
    assert ask.post("/predict", json=["a"] * 40).status_code == 200
    assert ask.post("/predict", json=[]).json() == []


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /predict HTTP/1.1\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
)
def test_broken_http_is_a_400_and_the_next_client_is_served(server: Server, sent: bytes) -> None:
    with socket.create_connection(server.address, 30) as connection:
        connection.sendall(sent)
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    assert server.client.post("/predict", json="a").status_code == 200


def test_who_sends_half_a_body_and_goes_leaves_nothing_behind(server: Server) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
    for _ in range(20):
        with socket.create_connection(server.address, 30) as connection:
            connection.sendall(head + b'"a')
    assert server.client.post("/predict", json="a").status_code == 200


@pytest.mark.parametrize(
    ("shape", "body", "inputs"),
    [
        (SINGLE, "a", ["a"]),
        (PAIR, {"text": "a", "pair": "b"}, [("a", "b")]),
        (PAIR, [["a", "b"], {"text": "c", "pair": "d"}], [("a", "b"), ("c", "d")]),
        (QUESTION, {"question": "who", "context": "me", "top_k": 2}, [("who", "me")]),
        (QUESTION, {"inputs": ["who", "me"]}, None),
        (QUESTION, {"inputs": [["who", "me"]]}, [("who", "me")]),
        (CHOICES, {"context": "a", "endings": ["b", "c"]}, [("a", "b", "c")]),
        (CHOICES, [["a", "b", "c"], ["a", "d"]], [("a", "b", "c"), ("a", "d")]),
        (CHOICES, {"context": "a", "endings": []}, None),
        (CHOICES, {"context": "a", "endings": "b"}, [("a", "b")]),
        (PAIR, [["a"]], None),
        (PAIR, {"question": "a", "context": "b"}, None),
    ],
)
def test_inputs_of_every_shape_are_read(
    shape: InputShape, body: Any, inputs: list[Any] | None
) -> None:
    raw = json.dumps(body).encode()
    if inputs is None:
        with pytest.raises(DataError):
            native.read(raw, shape)
        return
    found = native.read(raw, shape)
    assert found.inputs == inputs
    assert found.is_list == (isinstance(body, list) or ("inputs" in body and type(body) is dict))
    rows = sum(1 if isinstance(each, str) else len(each) - 1 for each in inputs)
    assert count_rows(found.inputs) == rows
