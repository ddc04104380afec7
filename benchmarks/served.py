"""Servers under test, each a process of its own on cores of its own, and how they are asked."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from open_loop import HOST, post

HERE = Path(__file__).parent
PEERS = HERE.parent / ".cache" / "peers"
START_S = 300.0
STOP_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How a server is started, and what a request for one text is."""

    name: str
    command: Sequence[str]
    """PORT stands for the port."""
    path: str
    body: Callable[[str], object]
    settings: str
    """What was chosen, for people."""
    paths: Sequence[Path] = ()
    """Folders of its own libraries."""
    needs: Path | None = None
    """What is there where its libraries are installed."""

    def request(self, text: str, **headers: str) -> bytes:
        return post(self.path, self.body(text), **headers)


@dataclass(slots=True)
class Running:
    """A server that answers."""

    server: Server
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    started_s: float
    stopped: bool = field(default=False)

    def memory_mib(self) -> float:
        """Return the memory of the process and its children, what they share counted once."""
        own = psutil.Process(self.process.pid)
        everyone = (own, *own.children(recursive=True))
        return sum(each.memory_full_info().pss for each in everyone) / 2**20

    def resident_mib(self) -> float:
        """Return the resident memory of the process alone, whatever else maps the same files."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def get(self, path: str) -> str:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read().decode()


def ours(bundle: Path, *flags: str, threads: int = 1) -> Server:
    """Return `bertedge serve` of a bundle."""
    words = ["serve", f"model={bundle}", "--port", "PORT", "--threads", str(threads), *flags]
    return Server(
        name="bertedge",
        command=[sys.executable, "-m", "bertedge", *words],
        path="/predict",
        body=lambda text: {"text": text},
        settings=" ".join([f"bertedge serve --threads {threads}", *flags]),
    )


def rivals(checkpoint: Path, int8: Path) -> list[Server]:
    """Return the servers of others; `int8` is the folder of Optimum's quantized graph."""
    own = PEERS / "litserve"
    apps = HERE / "rivals"
    infinity = PEERS / "infinity" / "bin" / "python"
    launch = [str(infinity), str(apps / "infinity_cli.py"), "v2", "--port", "PORT", "--host", HOST]
    launch += ["--device", "cpu", "--batch-size", "32", "--no-bettertransformer"]
    launch += ["--no-model-warmup"]  # its text has more tokens than BERT reads

    def text_of(text: str) -> object:
        return {"text": text}

    def classify(folder: Path) -> Callable[[str], object]:
        return lambda text: {"model": folder.name, "input": [text]}

    uvicorn = "uvicorn with uvloop and httptools, one worker"
    return [
        Server(
            name="pipeline",
            command=[sys.executable, str(apps / "pipeline_app.py"), str(checkpoint), "PORT"],
            path="/predict",
            body=text_of,
            settings=f"FastAPI, transformers pipeline, torch fp32, one thread; {uvicorn}",
            paths=[own],
            needs=own / "fastapi",
        ),
        Server(
            name="litserve",
            command=[sys.executable, str(apps / "litserve_app.py"), str(int8), "PORT"],
            path="/predict",
            body=text_of,
            settings="LitServe, Optimum ORTModel int8, batches of up to 32 within 2 ms, one worker "
            "of one thread",
            paths=[own],
            needs=own / "litserve",
        ),
        Server(
            name="infinity-torch",
            command=[*launch, "--model-id", str(checkpoint), "--engine", "torch"],
            path="/classify",
            body=classify(checkpoint),
            settings="infinity --engine torch, fp32, batches of up to 32, one thread",
            needs=infinity,
        ),
        Server(
            name="infinity-optimum",
            command=[*launch, "--model-id", str(int8), "--engine", "optimum"],
            path="/classify",
            body=classify(int8),
            settings="infinity --engine optimum, Optimum's int8 graph, batches of up to 32, one "
            "thread",
            needs=infinity,
        ),
    ]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def running(server: Server, cores: Sequence[int], text: str) -> Iterator[Running]:
    """Start a server on these cores alone, and wait until it answers a text."""
    port = free_port()
    threads = str(len(cores))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": os.pathsep.join([*map(str, server.paths), str(HERE.parent)]),
    }
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        began = time.perf_counter()
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["taskset", "-c", ",".join(map(str, cores))]
                + [str(port) if word == "PORT" else word for word in server.command],
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait(server, process, port, text, log)
            yield Running(server, port, process, log, time.perf_counter() - began)
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """Stop a server and what it has started."""
    if process.poll() is None:
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its children, as of litserve
    process.wait()


def ask(port: int, server: Server, text: str) -> tuple[int, bytes]:
    """Send one text; OSError where nothing listens."""
    _, _, body = server.request(text).partition(b"\r\n\r\n")
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", server.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()


def _wait(
    server: Server, process: subprocess.Popen[bytes], port: int, text: str, log: Path
) -> None:
    end = time.perf_counter() + START_S
    found: object = None
    while time.perf_counter() < end and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, found = ask(port, server, text)
            if status == 200:
                return
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{server.name} does not answer ({found!r}):\n{tail}")
