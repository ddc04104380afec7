"""An engine's process as its parent sees it: started, asked with a time limit, ended for good."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, NoReturn, TypeVar

from bertedge.bench.protocol import Answer, Failed, ProtocolError, Request, decode_answer, encode

A = TypeVar("A", bound=Answer)

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
"""Of OpenMP and MKL (PyTorch) and rayon (tokenizers); onnxruntime is told by its session."""
OFFLINE = {"HF_HUB_OFFLINE": "1"}
"""What is measured lies here: the checkpoint was opened before."""
GRACE_S = 2.0
FLUSH_S = 0.1
"""After a process has ended, for what it said last to be read."""


class WorkerError(Exception):
    """A worker crashed, hung, failed or spoke nonsense; the text says which."""


class Worker:
    """A running engine process, in a process group of its own.

    Use it as a context manager, or call `end`: nothing of the group survives that.
    """

    def __init__(self, command: Sequence[str], *, threads: int) -> None:
        self._said: queue.Queue[str] = queue.Queue()
        self._to_say: queue.Queue[str] = queue.Queue()
        self.began_s = time.perf_counter()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `end`)
        environment = os.environ | thread_variables(threads) | OFFLINE
        try:
            self._process = start_process(command, subprocess.PIPE, self._errors, environment)
        except WorkerError:
            self._errors.close()
            raise
        self.pid = self._process.pid
        """Of the process group too."""
        for task in (self._listen, self._speak, self._await):
            threading.Thread(target=task, daemon=True).start()

    def ask(self, request: Request, expected: type[A], *, timeout_s: float) -> A:
        """Send a request and wait for its answer; WorkerError where no good one comes."""
        self._to_say.put(encode(request))
        try:
            line = self._said.get(timeout=timeout_s)
            answer = decode_answer(line or self._last_words())
        except queue.Empty:
            raise WorkerError(f"gave no answer within {timeout_s:g} s") from None
        except ProtocolError as error:
            raise WorkerError(f"gave no valid answer: {error}") from None
        if isinstance(answer, Failed):
            raise WorkerError(answer.error)
        if not isinstance(answer, expected):
            raise WorkerError(f"answered {type(answer).__name__.lower()}")
        return answer

    def kill(self) -> None:
        """Kill the process and all that it started."""
        kill_group(self._process)

    def end(self) -> None:
        """Kill the process and all that it started, and wait for its end."""
        self.kill()
        self._process.wait()
        self._to_say.put("")
        self._errors.close()

    def __enter__(self) -> "Worker":
        """Return the worker."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the worker."""
        self.end()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._said.put(line)
        self._said.put("")

    def _await(self) -> None:
        # The end of the process may be seen late on its output, which children of it inherit.
        self._process.wait()
        time.sleep(FLUSH_S)
        self._said.put("")

    def _speak(self) -> None:
        # In a thread of its own, because a worker that does not read lets a long request wait.
        assert self._process.stdin is not None
        with contextlib.suppress(OSError), self._process.stdin as requests:
            while request := self._to_say.get():
                requests.write(request)
                requests.flush()

    def _last_words(self) -> NoReturn:
        """Raise WorkerError with how the process ended."""
        try:
            code = self._process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            raise WorkerError("closed its output without an answer") from None
        if code < 0:
            name = signal.Signals(-code).name
            memory = ", perhaps for lack of memory" if name == "SIGKILL" else ""
            raise WorkerError(f"was killed by {name}{memory}")
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        last = f": {said[-1].strip()[:200]}" if said else ""
        raise WorkerError(f"ended with exit code {code}{last}")


def start_process(
    command: Sequence[str],
    stdin: int,
    stderr: int | IO[bytes],
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start a command in a session of its own; WorkerError where that cannot be.

    Ctrl-C then reaches bench alone, which ends the session's processes.
    """
    try:
        return subprocess.Popen(
            list(command),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=env,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in a word
        raise WorkerError(f"could not be started: {str(error)[:200]}") from error


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a process that began a session of its own, and all that it started there."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()


def run_to_end(command: Sequence[str], *, timeout_s: float) -> None:
    """Run a command of other people's; WorkerError where it fails, with its last line.

    Nothing that it started survives an interrupt or the time limit.
    """
    process = start_process(command, subprocess.DEVNULL, subprocess.STDOUT)
    try:
        said, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise WorkerError(f"not done within {timeout_s:g} s") from None
    finally:
        kill_group(process)
        process.wait()
    if process.returncode:
        last = said.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        raise WorkerError(last[0][:200])


def thread_variables(threads: int) -> dict[str, str]:
    """The environment that tells libraries how many threads to use."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def python_command(module: str) -> tuple[str, ...]:
    """The command that runs a module in this very Python."""
    return (sys.executable, "-m", module)
