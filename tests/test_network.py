"""What lies here is worked on without a connection: no hub, no telemetry, no look-up of a host."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

STRACE = shutil.which("strace")
CALLS = "connect,sendto,sendmsg,sendmmsg"
ABROAD = re.compile(r"sa_family=AF_INET6?\b(?!.*(?:\"127\.|\"::1\"))")
"""An address that is not this machine's own; local sockets are of another family."""
QUICK = ("--quick", "--threads", "1", "--rounds", "3", "--repeats", "3", "--grid", "1x8")
GUARD = """
import os, socket, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        target = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]
        host = target[0] if isinstance(target, tuple) else target
        if isinstance(host, str) and (host.startswith("127.") or host in ("::1", "localhost")):
            return
        if event != "socket.getaddrinfo" and not isinstance(target, tuple):
            return  # a local socket's path
        with open(os.environ["NETWORK_LOG"], "a") as log:
            log.write(f"{event} {target!r} {sys.argv}\\n")
        raise OSError(f"the test forbids {event} {target!r}")

sys.addaudithook(refuse)
"""
"""A sitecustomize module: the interpreter's own calls, in every Python process below."""


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file in which what goes through Python's sockets is noted, and refused."""
    folder, log = tmp_path / "guard", tmp_path / "python.log"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(GUARD)
    log.touch()
    above = str(Path(__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(folder), above)))
    monkeypatch.setenv("NETWORK_LOG", str(log))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "ORT_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    return log


def traced(command: list[str], folder: Path) -> list[str]:
    """Run a command and give the system calls by which it, or its children, went abroad."""
    if STRACE is None:
        pytest.skip("strace is not installed")
    log = folder / "strace.log"
    watched = [
        STRACE,
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-s",
        "200",
        "-e",
        f"trace={CALLS}",
        "-o",
        str(log),
    ]
    run = subprocess.run(
        [*watched, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if "ptrace" in run.stderr and "Operation not permitted" in run.stderr:
        pytest.skip("this system lets no process be traced")
    assert run.returncode == 0, run.stderr
    return [line for line in log.read_text().splitlines() if ABROAD.search(line)]


def bertedge(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bertedge", *map(str, arguments)]


def test_the_test_sees_a_connection(guarded: Path, tmp_path: Path) -> None:
    program = (
        "import socket, contextlib\n"
        "one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "with contextlib.suppress(OSError):\n    one.connect(('192.0.2.1', 9))\n"
    )
    assert not traced([sys.executable, "-c", program], tmp_path)  # the guard refuses it
    assert "192.0.2.1" in guarded.read_text()
    assert traced([sys.executable, "-S", "-c", program], tmp_path)  # without the guard


def test_no_verb_opens_a_connection_for_what_lies_here(
    guarded: Path, base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    checkpoint, bundle = tmp_path / "checkpoint", tmp_path / "bundle"
    train = ("--train", texts["train"], "--epochs", "1", "--output", checkpoint)
    dev = ("--data", texts["dev"])
    verbs = {
        "finetune": ("--task", "text-classification", "--model", base, *train),
        "evaluate": (checkpoint, *dev),
        "export": (checkpoint, "--output", bundle, "--quantize", "--eval-data", texts["dev"]),
        "predict": (bundle, "a red apple"),
        "inspect": (bundle,),
        "doctor": (),
        "bench": (bundle, "--baseline", checkpoint, *dev, *QUICK),
    }
    for verb, arguments in verbs.items():
        assert traced(bertedge(verb, *arguments), tmp_path) == [], verb
        assert guarded.read_text() == "", verb
    assert traced(bertedge("evaluate", bundle, *dev), tmp_path) == []


@pytest.mark.slow
def test_a_predictor_that_lives_for_a_minute_opens_no_connection(
    guarded: Path, tmp_path: Path
) -> None:
    bundle = Path(__file__).parent.parent / "models" / "tiny" / "text-classification"
    program = (
        "import sys, time, bertedge\n"
        "predictor = bertedge.load(sys.argv[1], device='cpu')\n"
        "for _ in range(6):\n    predictor.predict(['a text'])\n    time.sleep(10)\n"
    )
    assert traced([sys.executable, "-c", program, str(bundle)], tmp_path) == []
    assert guarded.read_text() == ""
