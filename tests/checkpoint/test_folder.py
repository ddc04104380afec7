"""What looks like a path is a path; the hub is asked once, and not for long."""

import http.server
import socket
import threading
from pathlib import Path

import huggingface_hub.constants
import pytest

from bertedge.checkpoint import fetch, folder
from bertedge.errors import CheckpointError


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes which names the hub is asked for, and finds none."""
    asked: list[str] = []

    def download(name: str) -> Path:
        asked.append(name)
        raise CheckpointError("the hub was asked")

    monkeypatch.setattr(folder, "_download", download)
    return asked


@pytest.mark.parametrize(
    "name",
    [
        "./owner/name",
        "../name",
        "/owner/name",
        "~/name",
        "~me/name",
        "owner/name/",
        "name/",
        "owner//name",
        "a/b/c",
        "owner\\name",
        ".name",
        ".hidden/name",
        "owner/.name",
        "my-model",
        "bert-base-uncasd",
        "my model/name",
        "owner/name\n",
        "",
        ".",
        "x\0y",
        "owner/" + "n" * 5000,
        "https://huggingface.co/owner/name",
    ],
    ids=lambda name: repr(name)[:30],
)
def test_what_looks_like_a_path_is_not_asked_for(
    no_hub: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as error:
        fetch(name)
    assert not no_hub
    assert len(str(error.value)) <= 300
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", ["owner/name", "a-b_c.d/e-f_g.h", *folder.WELL_KNOWN])
def test_a_models_name_is_asked_for(
    no_hub: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError):
        fetch(name)
    assert no_hub == [name]


def test_a_path_into_a_directory_here_is_never_a_models_name(
    no_hub: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="runs/mien does not exist; did you mean runs/mine"):
        fetch("runs/mien")
    with pytest.raises(CheckpointError, match=r"^runs/mine is no checkpoint"):
        fetch("runs/mine")
    assert not no_hub


@pytest.mark.parametrize(
    ("typed", "meant"), [("modle", "model"), ("bert-base-uncasd", "bert-base")]
)
def test_a_name_that_is_nearly_one_is_suggested(
    typed: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    with pytest.raises(CheckpointError, match=f"did you mean {meant}"):
        fetch(typed)


def test_a_hub_that_does_not_answer_is_given_up_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(folder, "PATIENCE_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, and says nothing
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
        with pytest.raises(CheckpointError, match="owner/name is no directory here and is not in"):
            fetch("owner/name")


class Answering(http.server.BaseHTTPRequestHandler):
    """A hub that has nothing."""

    code = "RepoNotFound"

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", self.code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("RepoNotFound", "the model hub has none of that name, or a private one"),
        ("GatedRepo", "the model hub gives it to those alone who may have it"),
        (None, "the model hub cannot be reached"),
    ],
)
def test_why_a_model_does_not_come_is_told_in_one_line(
    code: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(Answering, "code", code)
        if code is None:
            server.server_close()  # nobody listens
        else:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(CheckpointError, match=message) as error:
            fetch("owner/name")
        if code is not None:
            server.shutdown()
    assert len(str(error.value)) <= 300


def test_the_hubs_cache_is_used_where_the_hub_is_not_reached(
    tmp_path: Path, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cached = tmp_path / "cache" / "models--owner--name"
    commit = "0" * 40
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    (cached / "snapshots").mkdir()
    (cached / "snapshots" / commit).symlink_to(sound)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert (fetch("owner/name") / "config.json").read_bytes() == (
        sound / "config.json"
    ).read_bytes()
