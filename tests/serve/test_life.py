"""How a server begins, is told what to do, and ends; who may use it."""

import json
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from bertedge.cli import main
from bertedge.serve import server as serving
from bertedge.serve.config import ServeConfig, ServedBundle, parse_bundle
from bertedge.serve.models import Models

from .conftest import INTENTS, PATIENCE_S, TAGS, TEXTS, Server, Start

KEY, OTHER_KEY = "correct-horse-battery", "staple-of-the-stable"
HEAD = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nExpect: 100-continue\r\n"
    b"Connection: close\r\n\r\n"
)


FIRST_REQUEST = """
import sys
from pathlib import Path
from bertedge.serve.config import ServeConfig, ServedBundle
from bertedge.serve.models import Models
from bertedge.tasks.contract import PredictOptions
config = ServeConfig(bundles=[ServedBundle(name="mine", path=Path(sys.argv[1]))], threads=1)
models = Models(config, lambda _: lambda _: None)
models.open()
before = set(sys.modules)
model = models.get(None)
options = model.predictor.model.task.settle(PredictOptions())
assert model.queue.submit(["turn the hall lights off"], options).result(60).value
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("bundle", [TEXTS, TAGS, INTENTS], ids=lambda path: path.name)
def test_the_first_request_waits_for_no_import(bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_REQUEST, bundle], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def let_in(server: Server, length: int) -> socket.socket:
    """A request that the server has let in, and whose body it waits for."""
    connection = socket.create_connection(server.address, PATIENCE_S)
    connection.sendall(HEAD % length)
    assert b" 100 " in connection.recv(1000)
    return connection


def rest_of(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_let_in_is_answered_before_the_end(start: Start, number: int) -> None:
    server = start(TEXTS)
    body = json.dumps(["turn the hall lights off"] * 500).encode()
    with let_in(server, len(body)) as connection:
        server.process.send_signal(number)
        server.wait_for("shutting down; 1 request ")
        assert server.client.get("/health/live").status_code == 200
        assert server.client.get("/health/ready").status_code == 503
        refused = server.client.post("/predict", json="a")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "shutting down" in refused.json()["error"]
        connection.sendall(body)
        answer = rest_of(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])) == 500
    assert server.process.wait(PATIENCE_S) == 0
    assert not [line for line in server.lines if "Traceback" in line or "rror" in line]
    assert server.process.stdout and server.process.stdout.read() == ""


def test_a_client_that_does_not_end_is_not_waited_for_for_ever(start: Start) -> None:
    server = start(TEXTS, "--drain", "0.5")
    with let_in(server, 100):
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0


def test_a_second_signal_ends_at_once(start: Start) -> None:
    server = start(TEXTS, "--drain", "3000")
    with let_in(server, 100):
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("shutting down")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0


def test_sighup_puts_the_new_bundle_in_place_under_load(start: Start, tmp_path: Path) -> None:
    bundle, before, after = tmp_path / "bundle", tmp_path / "before", tmp_path / "after"
    shutil.copytree(TEXTS, bundle)
    shutil.copytree(TAGS, after)
    server = start(f"mine={bundle}")
    stop, faults, kinds = threading.Event(), [], []

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
            while not stop.is_set():
                found = client.post("/predict", json=["lights off"] * 3)
                kinds.append("label" in found.text)
                if found.status_code != 200 or len(found.json()) != 3:
                    faults.append(found.text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for times in range(1, 4):
            bundle.rename(before)
            after.rename(bundle)
            before.rename(after)
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("mine: reloaded", times)
            task = server.client.get("/models").json()[0]["task"]
            assert task == ("token-classification", "text-classification")[times % 2 - 1]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not faults
    assert len(kinds) > 3


def test_a_bad_bundle_leaves_the_old_one_and_says_so(start: Start, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(TEXTS, bundle)
    server = start(f"mine={bundle}", f"tags={TAGS}")
    expected = server.client.post("/predict", json="lights off").json()
    graph = tmp_path / "new.onnx"
    graph.write_bytes(b"\0" * (bundle / "cpu-fp32.onnx").stat().st_size)
    graph.replace(bundle / "cpu-fp32.onnx")
    server.process.send_signal(signal.SIGHUP)
    line = server.wait_for("mine: not reloaded, the one before is kept: ")
    assert "does not have the SHA-256" in line
    server.wait_for("tags: reloaded")
    assert server.client.post("/predict", json="lights off").json() == expected
    assert server.client.get("/health/ready").status_code == 200


def test_one_content_is_opened_once_whatever_its_names_and_places(tmp_path: Path) -> None:
    shutil.copytree(TEXTS, tmp_path / "copy")
    (tmp_path / "link").symlink_to(TEXTS)
    places = {"one": TEXTS, "two": TEXTS, "copy": tmp_path / "copy", "link": tmp_path / "link"}
    bundles = [ServedBundle(name=name, path=path) for name, path in places.items()]
    config = ServeConfig(bundles=[*bundles, ServedBundle(name="tags", path=TAGS)], threads=1)
    models = Models(config, lambda _: lambda _: None)
    models.open()
    assert len(set(models.by_name.values())) == 2
    assert list(models.by_name) == [*places, "tags"]
    assert [each.error for each in models.reload()] == [None] * 3
    assert len(set(models.by_name.values())) == 2
    models.close()
    assert models.by_name == {}


def test_keys_are_asked_for_but_not_of_probes(start: Start, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# of the gateway\n{KEY}\n\n{OTHER_KEY}\n")
    keys.chmod(stat.S_IRUSR)
    server = start(TEXTS, "--api-key-file", keys)
    ask = server.client
    for headers in (
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": f"Bearer {KEY[:-1]}"},
        {"X-API-Key": "kälter".encode()},
        {"X-API-Key": ""},
    ):
        refused = ask.post("/predict", json="a", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "an API key is needed" in refused.json()["error"]
    assert ask.get("/models").status_code == ask.get("/nothing").status_code == 401
    assert ask.get("/health/ready").status_code == 200
    for headers in ({"Authorization": f"Bearer {OTHER_KEY}"}, {"X-API-Key": KEY}):
        assert ask.post("/predict", json="a", headers=headers).status_code == 200
    keys.chmod(stat.S_IRWXU)
    keys.write_text(OTHER_KEY)
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("reloaded")
    assert ask.post("/predict", json="a", headers={"X-API-Key": KEY}).status_code == 401


def test_it_speaks_https(start: Start, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost")
    subprocess.run(
        [openssl, *made, "-addext", "subjectAltName=IP:127.0.0.1", "-out", cert, "-keyout", key],
        check=True,
        capture_output=True,
    )
    server = start(TEXTS, "--tls-cert", cert, "--tls-key", key)
    assert server.url.startswith("https://127.0.0.1:")
    with httpx.Client(verify=ssl.create_default_context(cafile=cert)) as client:
        assert client.post(f"{server.url}/predict", json="a").status_code == 200


def test_an_address_that_others_reach_is_warned_of(start: Start) -> None:
    server = start(TEXTS, "--host", "0.0.0.0")
    assert server.lines[0].startswith("warning: everyone who reaches 0.0.0.0 may use it")


def test_a_port_in_use_is_one_line(start: Start) -> None:
    server = start(TEXTS)
    port = str(server.address[1])
    done = CliRunner().invoke(main, ["serve", str(TEXTS), "--port", port])
    assert done.exit_code == 1
    assert done.stderr == (
        f"Error: port {port} of 127.0.0.1 is in use; choose another with --port (0: any free one)\n"
    )


FILE = __file__


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "Missing argument"),
        (("nowhere",), 1, "nowhere is not a directory; give the bundle that export wrote"),
        (("a=nowhere", "a=elsewhere"), 1, "two bundles are called a; name them: NAME=BUNDLE"),
        (("=b",), 1, "'=b' names no bundle; give BUNDLE or NAME=BUNDLE"),
        (("a b=c",), 1, "'a b=c' names no bundle"),
        (("nowhere", "--port", "70000"), 2, "70000 is not in the range 0<=x<=65535"),
        (("nowhere", "--max-wait", "0"), 2, "0.0 is not in the range"),
        (("nowhere", "--max-wait", "nan"), 2, "nan is no number of seconds"),
        (("nowhere", "--host", "no host"), 1, "--host no host is no address: N"),
        (("nowhere", "--host", "192.0.2.1"), 1, "cannot listen on port 0 of 192.0.2.1"),
        (("nowhere", "--tls-cert", "c"), 1, "--tls-cert and --tls-key go together"),
        (("nowhere", "--tls-cert", "c", "--tls-key", "k"), 1, "cannot be used: No such file"),
        (("nowhere", "--tls-cert", FILE, "--tls-key", FILE), 1, "are no certificate and its key"),
        (("nowhere", "--api-key-file", "k"), 1, "the API keys in k cannot be read: No such file"),
        ((str(TEXTS), "--variant", "none"), 1, "has no variant 'none'"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    port = () if "--port" in arguments else ("--port", "0")
    done = CliRunner().invoke(main, ["serve", *arguments, *port])
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if code == 1:
        assert len(done.stderr.splitlines()) == 1


def test_short_keys_are_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{KEY}\nshort\n")
    done = CliRunner().invoke(main, ["serve", str(TEXTS), "--api-key-file", str(tmp_path / "keys")])
    assert "must have one key of 16 characters or more a line; it has a key" in done.stderr


def test_bundles_are_called_as_they_are_named_or_as_their_folder(tmp_path: Path) -> None:
    for argument, name, path in (
        ("a=b/c", "a", "b/c"),
        ("b/c", "c", "b/c"),
        (f"{tmp_path}/x=y", "x-y", f"{tmp_path}/x=y"),
        ("b/home intents/", "home-intents", "b/home intents"),
    ):
        found = parse_bundle(argument)
        assert (found.name, found.path) == (name, Path(path))


def test_a_port_is_free_again_when_it_ends() -> None:
    sock = serving.listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)):
        sock.accept()[0].close()
    sock.close()
    serving.listen("127.0.0.1", port).close()


def test_while_models_are_opened_it_is_alive_and_not_ready(start: Start) -> None:
    port = free_port()
    process: list[Server] = []
    thread = threading.Thread(target=lambda: process.append(start(TEXTS, INTENTS, TAGS, port=port)))
    thread.start()
    seen = set()
    end = time.monotonic() + PATIENCE_S
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
        while 200 not in seen and time.monotonic() < end:
            try:
                found = client.get("/health/ready")
                seen.add(found.status_code)
                if found.status_code == 503:
                    assert client.get("/health/live").status_code == 200
                    assert client.post("/predict", json="a").status_code in (200, 503)
            except httpx.TransportError:
                time.sleep(0.01)
    thread.join()
    assert 200 in seen
    assert seen <= {200, 503}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_a_post_reloads_and_says_what_became_of_each_bundle(start: Start, tmp_path: Path) -> None:
    bundle, keys = tmp_path / "bundle", tmp_path / "keys"
    shutil.copytree(TEXTS, bundle)
    keys.write_text(f"{KEY}\n")
    server = start(f"mine={bundle}", f"tags={TAGS}", "--api-key-file", keys)
    ask, headers = server.client, {"X-API-Key": KEY}
    assert ask.post("/admin/reload").status_code == 401
    assert ask.get("/admin/reload", headers=headers).status_code == 405
    before = {each["name"]: each["sha256"] for each in ask.get("/models", headers=headers).json()}
    shutil.rmtree(bundle)
    shutil.copytree(INTENTS, bundle)
    good = ask.post("/admin/reload", headers=headers)
    assert good.status_code == 200
    after = {each["name"]: each["sha256"] for each in ask.get("/models", headers=headers).json()}
    assert after["mine"] != before["mine"] and after["tags"] == before["tags"]
    assert good.json() == {
        "bundles": [
            {"names": [name], "error": None, "sha256": after[name]} for name in ("mine", "tags")
        ],
        "keys_error": None,
    }
    graph = tmp_path / "new.onnx"
    graph.write_bytes(b"\0" * (bundle / "cpu-fp32.onnx").stat().st_size)
    graph.replace(bundle / "cpu-fp32.onnx")
    keys.write_text("short\n")
    bad = ask.post("/admin/reload", headers=headers)
    assert bad.status_code == 409
    assert bad.json()["error"] == "1 of 2 bundles could not be reloaded"
    assert "does not have the SHA-256" in bad.json()["bundles"][0]["error"]
    assert [each["sha256"] for each in bad.json()["bundles"]] == list(after.values())
    assert "16 characters" in bad.json()["keys_error"]
    server.wait_for("mine: not reloaded, the one before is kept: ")
    assert ask.post("/predict/mine", json="a", headers=headers).status_code == 200


def test_without_keys_a_post_does_not_reload(server: Server) -> None:
    refused = server.client.post("/admin/reload")
    assert refused.status_code == 403
    assert refused.json()["error"].startswith("who may reload is told by --api-key-file")
