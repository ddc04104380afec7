"""The run: cold starts, warm-up, then rounds in which the engines take turns.

One engine works at a time; the others wait for their input. In every round the order of the
engines moves on by one, so that none always runs after the same neighbour. An engine that
crashes, hangs or fails is noted and left out of the rest.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bertedge.bench.engines import EngineSpec
from bertedge.bench.process import Worker, WorkerError
from bertedge.bench.protocol import (
    Answer,
    Opened,
    Ran,
    Ready,
    Request,
    Run,
    TextWorkload,
    TokenWorkload,
)
from bertedge.bench.settings import (
    LONG_RUN_MS,
    MIN_REPEATS,
    MIN_TURN_S,
    TURN_WARM_UP_MS,
    Settings,
)
from bertedge.progress import Progress

Workload = TokenWorkload | TextWorkload
A = TypeVar("A", bound=Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One cold start."""

    opened: Opened
    total_s: float
    """From starting the process to reading its first answer, by the clock of bench."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The runs of one engine at one workload in one round."""

    workload: str
    round: int
    samples_ms: tuple[float, ...]


@dataclass(slots=True, kw_only=True)
class EngineLog:
    """What has been measured of one engine so far."""

    spec: EngineSpec
    starts: list[Start] = field(default_factory=list)
    ready: dict[str, Ready] = field(default_factory=dict)
    """By workload."""
    warm_up_s: dict[str, float] = field(default_factory=dict)
    """By workload."""
    turns: list[Turn] = field(default_factory=list)
    peak_memory_bytes: int | None = None
    problem: str | None = None
    """Why it was left out of the rest."""


@dataclass(slots=True, kw_only=True)
class Measurement:
    """All that has been measured so far; what an interrupt leaves is as good as the rest."""

    engines: list[EngineLog]
    seconds: float = 0.0
    complete: bool = False


def measure(
    specs: Sequence[EngineSpec],
    workloads: Sequence[Workload],
    settings: Settings,
    progress: Progress,
) -> Measurement:
    """Run all engines at all workloads; Ctrl-C returns what is finished, `complete` False."""
    measurement = Measurement(engines=[EngineLog(spec=spec) for spec in specs])
    course = _Course(measurement.engines, settings, progress)
    began = time.perf_counter()
    try:
        course.start_all()
        course.warm_up_all(workloads)
        course.take_turns(workloads)
        measurement.complete = True
    except KeyboardInterrupt:
        pass
    finally:
        course.end_all()
        progress.finish()
    measurement.seconds = time.perf_counter() - began
    return measurement


def rotated(logs: Sequence[EngineLog], by: int) -> list[EngineLog]:
    """Begin the order of engines `by` places further on."""
    by %= len(logs)
    return [*logs[by:], *logs[:by]]


def plan_turn(workload: str, logs: Sequence[EngineLog], settings: Settings) -> Run:
    """Tell what a turn is: the same for all engines, by the time that the baseline's runs take.

    Without a baseline that works, by the slowest engine's.
    """
    sound = [log for log in logs if workload in log.ready and not log.problem]
    deciding = [log for log in sound if log.spec.baseline is None] or sound
    run_ms = max((log.ready[workload].run_ms for log in deciding), default=1.0)
    fitting = int(settings.turn_s * 1000 / max(run_ms, 1e-3))
    at_least = max(1, min(MIN_REPEATS, int(MIN_TURN_S * 1000 / max(run_ms, 1e-3))))
    return Run(
        workload=workload,
        first=0,
        repeats=min(settings.repeats, max(at_least, fitting)),
        warm_up_ms=0.0 if run_ms > LONG_RUN_MS else TURN_WARM_UP_MS,
    )


class _Course:
    """The engines' processes while they are measured."""

    def __init__(self, logs: Sequence[EngineLog], settings: Settings, progress: Progress) -> None:
        self._logs = logs
        self._settings = settings
        self._progress = progress
        self._workers: dict[str, Worker] = {}

    def start_all(self) -> None:
        """Start each engine several times, one at a time; the last of its processes stays."""
        starts = self._settings.starts
        self._progress.start("cold starts", starts * len(self._logs), "starts")
        for number in range(starts):
            for log in rotated(self._logs, number):
                if not log.problem:
                    self._end(log)
                    self._start(log)
                self._progress.advance(1, log.spec.name)
        self._progress.finish()

    def warm_up_all(self, workloads: Sequence[Workload]) -> None:
        """Give every engine every workload."""
        total = len(workloads) * len(self._logs)
        self._progress.start("warm-up", total, "workloads")
        for workload in workloads:
            for log in self._logs:
                began = time.perf_counter()
                ready = self._ask(log, workload, Ready, f"warm-up, {workload.name}")
                if ready:
                    log.warm_up_s[workload.name] = time.perf_counter() - began
                    log.ready[workload.name] = ready
                    _note_memory(log, ready.peak_memory_bytes)
                self._progress.advance(1, f"{log.spec.name}, {workload.name}")
        self._progress.finish()

    def take_turns(self, workloads: Sequence[Workload]) -> None:
        """Go round by round through all workloads, in each engine by engine."""
        rounds = self._settings.rounds
        turns = [plan_turn(item.name, self._logs, self._settings) for item in workloads]
        self._progress.start("measuring", rounds * len(workloads) * len(self._logs), "turns")
        for number in range(rounds):
            for turn in turns:
                run = replace(turn, first=number * turn.repeats)
                for log in rotated(self._logs, number):
                    self._take_turn(log, run, number)
                    self._progress.advance(1, f"round {number + 1}")
        self._progress.finish()

    def end_all(self) -> None:
        """Leave no process behind."""
        for worker in self._workers.values():
            worker.end()

    def _start(self, log: EngineLog) -> None:
        try:
            worker = Worker(log.spec.command, threads=self._settings.threads)
        except WorkerError as error:
            self._leave_out(log, f"start: {error}")
            return
        self._workers[log.spec.name] = worker
        opened = self._ask(log, log.spec.open, Opened, "start")
        if opened:
            log.starts.append(Start(opened=opened, total_s=time.perf_counter() - worker.began_s))
            _note_memory(log, opened.peak_memory_bytes)

    def _take_turn(self, log: EngineLog, run: Run, number: int) -> None:
        what = f"round {number + 1}, {run.workload}"
        ran = self._ask(log, run, Ran, what)
        if ran is None:
            return
        if len(ran.samples_ms) != run.repeats or min(ran.samples_ms) <= 0:
            self._leave_out(log, f"{what}: claims {ran.samples_ms} ms for {run.repeats} runs")
            return
        log.turns.append(Turn(workload=run.workload, round=number, samples_ms=ran.samples_ms))
        _note_memory(log, ran.peak_memory_bytes)

    def _ask(self, log: EngineLog, request: Request, expected: type[A], what: str) -> A | None:
        """Get an engine's answer; None, and the engine is left out, where no good one comes."""
        if log.problem:
            return None
        try:
            answer = self._workers[log.spec.name].ask(request, timeout_s=self._settings.timeout_s)
        except WorkerError as error:
            self._leave_out(log, f"{what}: {error}")
            return None
        if not isinstance(answer, expected):
            self._leave_out(log, f"{what}: answered {type(answer).__name__.lower()}")
            return None
        return answer

    def _leave_out(self, log: EngineLog, problem: str) -> None:
        log.problem = problem
        self._progress.say(f"{log.spec.name}: {problem}")
        self._end(log)

    def _end(self, log: EngineLog) -> None:
        if log.spec.name in self._workers:
            self._workers[log.spec.name].end()
            del self._workers[log.spec.name]


def _note_memory(log: EngineLog, peak_bytes: int | None) -> None:
    if peak_bytes is not None:
        log.peak_memory_bytes = max(peak_bytes, log.peak_memory_bytes or 0)
