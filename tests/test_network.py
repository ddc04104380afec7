"""What lies here is worked on without a connection: no hub, no telemetry, no look-up of a host."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

STRACE = shutil.which("strace")
CALLS = "connect,sendto,sendmsg,sendmmsg"
ABROAD = re.compile(r"sa_family=AF_INET6?\b(?!.*(?:\"127\.|\"::1\"))")
"""An address that is not this machine's own; local sockets are of another family."""
QUICK = ("--quick", "--threads", "1", "--rounds", "3", "--repeats", "3", "--grid", "1x8")
Guarded = tuple[Path, Callable[[list[str]], list[str]]]
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


def guard(folder: Path) -> dict[str, str]:
    """Make the environment in which what goes through Python's sockets is noted, and refused."""
    if STRACE is None:
        pytest.skip("strace is not installed")
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    (folder / "python.log").touch()
    free = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "ORT_DISABLE_TELEMETRY")
    above = str(Path(__file__).parent.parent)
    return {name: value for name, value in os.environ.items() if name not in free} | {
        "PYTHONPATH": os.pathsep.join((str(folder / "guard"), above)),
        "NETWORK_LOG": str(folder / "python.log"),
    }


def start(command: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.Popen[str]":
    """Start a command whose system calls that go abroad are written down."""
    assert STRACE is not None
    log = folder / "strace.log"
    watched = [STRACE, "-f", "--seccomp-bpf", "-qq", "-s", "200", "-e", f"trace={CALLS}"]
    return subprocess.Popen(
        [*watched, "-o", str(log), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def calls_abroad(process: "subprocess.Popen[str]", folder: Path) -> list[str]:
    """Wait for its end, and give the calls by which it, or its children, went abroad."""
    _, errors = process.communicate()
    if "ptrace" in errors and "Operation not permitted" in errors:
        pytest.skip("this system lets no process be traced")
    assert process.returncode == 0, errors
    return [
        line for line in (folder / "strace.log").read_text().splitlines() if ABROAD.search(line)
    ]


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    """The log of Python's sockets, and what runs a command and gives its calls abroad."""
    environment = guard(tmp_path)

    def traced(command: list[str]) -> list[str]:
        return calls_abroad(start(command, tmp_path, environment), tmp_path)

    return tmp_path / "python.log", traced


@pytest.fixture(scope="module", autouse=True)
def for_a_minute(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """A predictor that lives for a minute, in which the other tests are run."""
    folder = tmp_path_factory.mktemp("minute")
    bundle = Path(__file__).parent.parent / "models" / "tiny" / "text-classification"
    program = (
        "import sys, time, bertedge\n"
        "predictor = bertedge.load(sys.argv[1], device='cpu')\n"
        "for _ in range(6):\n    predictor.predict(['a text'])\n    time.sleep(10)\n"
    )
    process = start([sys.executable, "-c", program, str(bundle)], folder, guard(folder))
    yield process, folder
    if process.poll() is None:
        process.kill()
        process.communicate()


def bertedge(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bertedge", *map(str, arguments)]


def test_the_test_sees_a_connection(guarded: Guarded) -> None:
    program = (
        "import socket, contextlib\n"
        "one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "with contextlib.suppress(OSError):\n    one.connect(('192.0.2.1', 9))\n"
    )
    log, traced = guarded
    assert not traced([sys.executable, "-c", program])  # the guard refuses it
    assert "192.0.2.1" in log.read_text()
    assert traced([sys.executable, "-S", "-c", program])  # without the guard


def test_no_verb_opens_a_connection_for_what_lies_here(
    guarded: Guarded, base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    checkpoint, bundle = tmp_path / "checkpoint", tmp_path / "bundle"
    train = ("--train", texts["train"], "--epochs", "1", "--output", checkpoint)
    dev = ("--data", texts["dev"])
    verbs = {
        "finetune": ("--task", "text-classification", "--model", base, *train),
        "evaluate": (checkpoint, *dev),
        "export": (checkpoint, "--output", bundle, "--quantize", "--eval-data", texts["dev"]),
        "predict": (bundle, "a red apple"),
        "report": (bundle, *dev),
        "inspect": (bundle,),
        "doctor": (),
        "bench": (bundle, "--baseline", checkpoint, *dev, *QUICK),
    }
    log, traced = guarded
    for verb, arguments in verbs.items():
        assert traced(bertedge(verb, *arguments)) == [], verb
        assert log.read_text() == "", verb
    assert traced(bertedge("evaluate", bundle, *dev)) == []


@pytest.mark.slow
def test_a_predictor_that_lives_for_a_minute_opens_no_connection(
    for_a_minute: tuple["subprocess.Popen[str]", Path],
) -> None:
    process, folder = for_a_minute
    assert calls_abroad(process, folder) == []
    assert (folder / "python.log").read_text() == ""
