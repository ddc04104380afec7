"""Servers that run: a process of their own on a free port."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = REPOSITORY / "models" / "tiny"
TEXTS, TAGS, INTENTS = (
    TINY / name for name in ("text-classification", "token-classification", "intent-slots")
)
PATIENCE_S = 60.0


class Server:
    """`bertedge serve` in a process, and what it has printed."""

    def __init__(self, *arguments: object, port: int = 0, files: int | None = None) -> None:
        """Start it, with at most so many open `files`."""
        command = [sys.executable, "-m", "bertedge", "serve", *map(str, arguments)]
        command += ["--port", str(port)]
        if files is not None:
            command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._heard = threading.Condition()
        self._ended = False
        threading.Thread(target=self._listen, daemon=True).start()
        line = self.wait_for("serving on ")
        self.url = re.findall(r"serving on (\S+);", line)[0]
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE_S, verify=False)

    def _listen(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._heard:
                self.lines.append(line.rstrip("\n"))
                self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()

    def wait_for(self, text: str, times: int = 1) -> str:
        """Wait until a text was printed on so many lines, and return the last of them."""

        def found() -> list[str]:
            return [line for line in self.lines if text in line]

        with self._heard:
            self._heard.wait_for(lambda: len(found()) >= times or self._ended, PATIENCE_S)
        assert len(found()) >= times, "\n".join(self.lines)
        return found()[-1]

    @property
    def address(self) -> tuple[str, int]:
        parts = httpx.URL(self.url)
        assert parts.port
        return parts.host, parts.port

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()


Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start servers that end with the test."""
    started: list[Server] = []

    def start_one(*arguments: object, port: int = 0, files: int | None = None) -> Server:
        started.append(Server(*arguments, port=port, files=files))
        return started[-1]

    yield start_one
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One that serves three models, for tests that only ask it."""
    limits = ("--max-rows", "40", "--max-bytes", "20000", "--max-wait", "30")
    found = Server(f"texts={TEXTS}", f"tags={TAGS}", f"intents={INTENTS}", *limits)
    yield found
    assert found.stop() == 0
    assert not [line for line in found.lines if "Traceback" in line], found.lines
