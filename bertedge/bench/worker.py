"""An engine's process: `python -m bertedge.bench.worker`, which speaks `bertedge.bench.protocol`.

It loads one model, warms workloads up, and times runs when told. Nothing heavy is imported before
`open` asks for it, so that imports can be timed. A program with an engine of its own calls `main`
with that backend, and needs nothing else of the protocol.
"""

import os
import queue
import statistics
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO, Any

from bertedge.bench.backends import Backend, BackendSpec, Prepared, find_backend
from bertedge.bench.protocol import (
    PROTOCOL,
    Answer,
    Export,
    Failed,
    Open,
    Opened,
    Output,
    ProfileGraph,
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
from bertedge.errors import LONGEST, BertedgeError, first_line

STABLE_WINDOW = 5
"""Runs whose median is compared with that of as many runs before them."""
STABLE_WITHIN = 0.05
PATIENCE_S = 2.0
"""Warm-up that has not settled ends after this time (and two windows)."""
AWAKE_S = 0.0005


def main(backends: Mapping[str, BackendSpec] | None = None) -> None:
    """Answer requests until standard input closes; `backends` are another program's own engines."""
    answers = _keep_stdout()
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    state = State(backends)
    while True:
        answers.write(encode(_answer(state, requests.get())))
        answers.flush()


class State:
    """What a worker holds between requests."""

    def __init__(self, backends: Mapping[str, BackendSpec] | None = None) -> None:
        self.backends = backends
        self.backend: Backend | None = None
        self.prepared: dict[str, Prepared] = {}

    def answer(self, request: Request) -> Answer:
        """Do what is asked."""
        match request:
            case Open():
                return self._open(request)
            case Export():
                from bertedge.bench.backends.optimum_export import export

                return export(request)
            case ProfileGraph():
                from bertedge.bench.scenarios.profile import profile

                return profile(request)
        if self.backend is None:
            raise ProtocolError("the first request must be open")
        match request:
            case TokenWorkload():
                self.prepared[request.name] = prepared = self.backend.tokens(request)
                return warm_up(prepared)
            case TextWorkload():
                self.prepared[request.name] = prepared = self.backend.texts(request)
                return warm_up(prepared, timed=request.timed)
            case Run(workload=workload):
                if workload not in self.prepared:
                    raise ProtocolError(f"no workload {workload!r} was given")
                return take_turn(self.prepared[workload], request)

    def _open(self, request: Open) -> Opened:
        if request.protocol != PROTOCOL:
            raise ProtocolError(f"this worker speaks protocol {PROTOCOL}, not {request.protocol}")
        began = time.perf_counter()
        spec = find_backend(self.backends, request.engine)
        spec.import_libraries()
        imported = time.perf_counter()
        self.backend = backend = spec.load(request)
        loaded = time.perf_counter()
        first = backend.texts(TextWorkload(name="", texts=(request.first,), at_once=False))
        made = first.run(0)
        ended = time.perf_counter()
        return Opened(
            imports_s=imported - began,
            load_s=loaded - imported,
            first_run_s=ended - loaded,
            runs_on=backend.runs_on,
            versions=spec.versions(),
            outputs=tuple(first.read(made)),
        )


def warm_up(prepared: Prepared, *, timed: bool = True) -> Ready:
    """Run every input once, then the first again and again until times settle or patience ends."""
    outputs: list[Output] = []
    first_ms: list[float] = []
    times_ms: list[float] = []
    for number in range(prepared.inputs):
        run_ms, found = _timed(prepared, number)
        first_ms.append(run_ms)
        outputs += prepared.read(found)
    began = time.perf_counter()
    while timed and (len(times_ms) < 2 * STABLE_WINDOW or not settled(times_ms)):
        if len(times_ms) >= 2 and time.perf_counter() - began > PATIENCE_S:
            break
        times_ms.append(_timed(prepared, 0)[0])
    return Ready(
        warm_up_runs=len(first_ms) + len(times_ms),
        stable=timed and settled(times_ms),
        run_ms=min(statistics.median(each) for each in (first_ms, times_ms) if each),
        outputs=tuple(outputs),
        batching=prepared.batching,
    )


def settled(times_ms: list[float]) -> bool:
    """Return whether the last runs took as long as those before them."""
    window = min(STABLE_WINDOW, len(times_ms) // 2)
    before = statistics.median(times_ms[-2 * window : -window])
    now = statistics.median(times_ms[-window:])
    return abs(now - before) <= STABLE_WITHIN * before


def take_turn(prepared: Prepared, request: Run) -> Ran:
    """Time the runs asked for, after some that are not counted.

    Where inputs arrive at given times, a latency counts from the arrival that was intended. Were it
    counted from the start of the run, an engine that falls behind would hide the wait of all that
    queued meanwhile (coordinated omission).
    """
    began = time.perf_counter()
    uncounted = 0
    while (time.perf_counter() - began) * 1000 < request.warm_up_ms:
        prepared.run(request.first % prepared.inputs)
        uncounted += 1
    samples_ms = []
    began = time.perf_counter()
    for number in range(request.repeats):
        place = request.first + number
        if request.arrivals_s is None:
            samples_ms.append(_timed(prepared, place)[0])
        else:
            due = began + request.arrivals_s[number]
            wait_until(due)
            prepared.run(place % prepared.inputs)
            samples_ms.append(round((time.perf_counter() - due) * 1000, 4))
    return Ran(
        samples_ms=tuple(samples_ms),
        uncounted_runs=uncounted,
    )


def wait_until(moment: float) -> None:
    """Sleep, the last stretch awake: a sleep may end late by more than a fast run takes."""
    while (left := moment - time.perf_counter()) > 0:
        if left > AWAKE_S:
            time.sleep(left - AWAKE_S)


def _timed(prepared: Prepared, number: int) -> tuple[float, Any]:
    """Run one input; return milliseconds and what came of it."""
    began = time.perf_counter()
    found = prepared.run(number % prepared.inputs)
    return round((time.perf_counter() - began) * 1000, 4), found


def _answer(state: State, line: str) -> Answer:
    try:
        return state.answer(decode_request(line))
    except (BertedgeError, ProtocolError) as error:
        return Failed(error=str(error))
    except Exception as error:  # whatever a library raises becomes a row of the report
        return Failed(error=first_line(f"{type(error).__name__}: {error}", LONGEST))


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
