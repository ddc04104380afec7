"""An engine's process: `python -m bertedge.bench.worker`, which speaks `bertedge.bench.protocol`.

It loads one model (PyTorch or a bundle's variant), warms workloads up, and times runs when told.
Nothing heavy is imported before `open` asks for it, so that imports can be timed.
"""

import os
import queue
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from bertedge.bench.memory import peak_memory_bytes
from bertedge.bench.protocol import (
    PROTOCOL,
    Answer,
    Failed,
    Open,
    Opened,
    ProtocolError,
    Ran,
    Ready,
    Request,
    Run,
    TextWorkload,
    TokenWorkload,
    decode_request,
    encode,
)
from bertedge.errors import BertedgeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bertedge.bench.subject import Subject

STABLE_WINDOW = 5
"""Runs whose median is compared with that of as many runs before them."""
STABLE_WITHIN = 0.05
PATIENCE_S = 2.0
"""Warm-up that has not settled ends after this time (and two windows)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A warm workload."""

    inputs: int
    run: "Callable[[int], NDArray[np.int64]]"
    """Runs one input, by number, and gives its labels."""


def main() -> None:
    """Answer requests until standard input closes."""
    answers = _keep_stdout()
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    state = State()
    while True:
        answers.write(encode(_answer(state, requests.get())))
        answers.flush()


class State:
    """What a worker holds between requests."""

    def __init__(self) -> None:
        self.subject: Subject | None = None
        self.prepared: dict[str, Prepared] = {}

    def answer(self, request: Request) -> Answer:
        """Do what is asked."""
        if isinstance(request, Open):
            return self._open(request)
        if self.subject is None:
            raise ProtocolError("the first request must be open")
        match request:
            case TokenWorkload() | TextWorkload():
                prepared = prepare(self.subject, request)
                self.prepared[request.name] = prepared
                return warm_up(prepared)
            case Run():
                if request.workload not in self.prepared:
                    raise ProtocolError(f"no workload {request.workload!r} was given")
                return take_turn(self.prepared[request.workload], request)

    def _open(self, request: Open) -> Opened:
        if request.protocol != PROTOCOL:
            raise ProtocolError(f"this worker speaks protocol {PROTOCOL}, not {request.protocol}")
        began = time.perf_counter()
        from bertedge.bench import subject

        subject.import_libraries(request)
        imported = time.perf_counter()
        self.subject = subject.load(request)
        loaded = time.perf_counter()
        labels = self.subject.label([request.first], request.max_length)
        ended = time.perf_counter()
        return Opened(
            imports_s=imported - began,
            load_s=loaded - imported,
            first_run_s=ended - loaded,
            labels=tuple(labels.tolist()),
            runs_on=self.subject.runs_on,
            versions=subject.versions(request),
            peak_memory_bytes=peak_memory_bytes(),
        )


def prepare(subject: "Subject", workload: TokenWorkload | TextWorkload) -> Prepared:
    """Make the inputs of a workload, so that a run does nothing but the work."""
    if isinstance(workload, TokenWorkload):
        batches = [subject.batch(rows) for rows in workload.batches]
        return Prepared(inputs=len(batches), run=lambda i: subject.label_batch(batches[i]))
    texts, budget = list(workload.texts), workload.token_budget
    if workload.at_once:
        return Prepared(inputs=1, run=lambda _: subject.label(texts, budget))
    return Prepared(inputs=len(texts), run=lambda i: subject.label([texts[i]], budget))


def warm_up(prepared: Prepared) -> Ready:
    """Run every input once, then the first again and again until times settle or patience ends."""
    labels: list[int] = []
    first_ms = []
    for number in range(prepared.inputs):
        run_ms, found = _timed(prepared, number)
        first_ms.append(run_ms)
        labels += found.tolist()
    times_ms: list[float] = []
    began = time.perf_counter()
    while len(times_ms) < 2 * STABLE_WINDOW or not settled(times_ms):
        if len(times_ms) >= 2 and time.perf_counter() - began > PATIENCE_S:
            break
        times_ms.append(_timed(prepared, 0)[0])
    return Ready(
        warm_up_runs=len(first_ms) + len(times_ms),
        stable=settled(times_ms),
        run_ms=min(statistics.median(first_ms), statistics.median(times_ms)),
        labels=tuple(labels),
        peak_memory_bytes=peak_memory_bytes(),
    )


def settled(times_ms: list[float]) -> bool:
    """Tell whether the last runs took as long as those before them."""
    window = min(STABLE_WINDOW, len(times_ms) // 2)
    before = statistics.median(times_ms[-2 * window : -window])
    now = statistics.median(times_ms[-window:])
    return abs(now - before) <= STABLE_WITHIN * before


def take_turn(prepared: Prepared, request: Run) -> Ran:
    """Time the runs asked for, after some that are not counted."""
    began = time.perf_counter()
    while (time.perf_counter() - began) * 1000 < request.warm_up_ms:
        prepared.run(request.first % prepared.inputs)
    numbers = range(request.first, request.first + request.repeats)
    samples_ms = tuple(_timed(prepared, number)[0] for number in numbers)
    return Ran(samples_ms=samples_ms, peak_memory_bytes=peak_memory_bytes())


def _timed(prepared: Prepared, number: int) -> "tuple[float, NDArray[np.int64]]":
    """Run one input; give milliseconds and labels."""
    began = time.perf_counter()
    labels = prepared.run(number % prepared.inputs)
    return round((time.perf_counter() - began) * 1000, 4), labels


def _answer(state: State, line: str) -> Answer:
    try:
        return state.answer(decode_request(line))
    except (BertedgeError, ProtocolError) as error:
        return Failed(error=str(error))
    except Exception as error:  # whatever a library raises becomes a row of the report
        return Failed(error=f"{type(error).__name__}: {error}".splitlines()[0])


def _keep_stdout() -> IO[str]:
    """Take standard output for answers; what libraries print goes to standard error instead."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _listen(requests: "queue.Queue[str]") -> None:
    """Read requests; when there can be no more, end the process in the midst of anything."""
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
