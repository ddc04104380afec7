"""The engines' processes while they are measured: started, asked, watched, ended."""

import time
from collections.abc import Sequence
from typing import TypeVar

from bertedge.bench.config import Settings
from bertedge.bench.logs import EngineLog, Start, Turn, Workload
from bertedge.bench.messages import Opened, Ran, Ready, Run
from bertedge.bench.process import Worker, WorkerError
from bertedge.bench.protocol import Answer, Request
from bertedge.bench.trackers import joules_between, memory_of, read_counters
from bertedge.progress import Progress

A = TypeVar("A", bound=Answer)


class EngineRunner:
    """All engines of a bench, each with its process while it has one."""

    def __init__(self, logs: Sequence[EngineLog], settings: Settings, progress: Progress) -> None:
        self.logs = logs
        self.settings = settings
        self.progress = progress
        self._workers: dict[str, Worker] = {}

    def begin(self, part: str, of: str, total: int | None, unit: str) -> None:
        """Say that a part of the bench begins, and count its steps, which take much the same."""
        self.progress.say(f"{part}: {of}")
        self.progress.start(part, total, unit)

    def start(self, log: EngineLog) -> None:
        """Start an engine's process and have it label its first text."""
        try:
            worker = Worker(log.spec.command, threads=self.settings.threads)
        except WorkerError as error:
            self.leave_out(log, f"start: {error}")
            return
        self._workers[log.spec.name] = worker
        opened = self.ask(log, log.spec.open, Opened, "start")
        if opened:
            log.starts.append(Start(opened=opened, total_s=time.perf_counter() - worker.began_s))
            _note_peak(log, opened.peak_memory_bytes)
            log.memory.clear()
            self.note_memory(log, "start")

    def warm_up(self, log: EngineLog, workload: Workload) -> None:
        """Give an engine a workload."""
        began = time.perf_counter()
        ready = self.ask(log, workload, Ready, f"warm-up, {workload.name}")
        if ready:
            log.warm_up_s[workload.name] = time.perf_counter() - began
            log.ready[workload.name] = ready
            _note_peak(log, ready.peak_memory_bytes)
            self.note_memory(log, f"warm-up {workload.name}")

    def take_turn(
        self, log: EngineLog, run: Run, number: int, *, limit_ms: float, energy: bool
    ) -> None:
        """Have an engine make its runs of a round: fewer where they would take too long."""
        what = f"round {number + 1}, {run.workload}"
        if log.problem:
            return
        run_ms = log.ready[run.workload].run_ms
        if run_ms > limit_ms:
            self.leave_out(
                log, f"{what}: takes {run_ms / 1000:.1f} s a run, too slow to be measured"
            )
            return
        repeats = max(1, min(run.repeats, int(limit_ms / max(run_ms, 1e-3))))
        asked = Run(
            workload=run.workload, first=run.first, repeats=repeats, warm_up_ms=run.warm_up_ms
        )
        before = read_counters() if energy else {}
        ran = self.ask(log, asked, Ran, what)
        joules = joules_between(before, read_counters()) if before else None
        if ran is None:
            return
        if len(ran.samples_ms) != repeats or min(ran.samples_ms) <= 0:
            self.leave_out(log, f"{what}: claims {ran.samples_ms} ms for {repeats} runs")
            return
        turn = Turn(
            workload=run.workload,
            round=number,
            samples_ms=ran.samples_ms,
            joules=joules,
            runs=repeats + ran.uncounted_runs,
        )
        log.turns.append(turn)
        _note_peak(log, ran.peak_memory_bytes)

    def ask(self, log: EngineLog, request: Request, expected: type[A], what: str) -> A | None:
        """Get an engine's answer; None, and the engine is left out, where no good one comes."""
        if log.problem:
            return None
        try:
            answer = self._workers[log.spec.name].ask(request, timeout_s=self.settings.timeout_s)
        except WorkerError as error:
            self.leave_out(log, f"{what}: {error}")
            return None
        if not isinstance(answer, expected):
            self.leave_out(log, f"{what}: answered {type(answer).__name__.lower()}")
            return None
        return answer

    def pid(self, log: EngineLog) -> int | None:
        """Give the id of an engine's process; None where it has none."""
        worker = self._workers.get(log.spec.name)
        return worker.pid if worker else None

    def note_memory(self, log: EngineLog, where: str) -> None:
        """Look at the memory of an engine's process."""
        worker = self._workers.get(log.spec.name)
        if worker is None:
            return
        point = memory_of(worker.pid, where, time.perf_counter() - worker.began_s)
        if point:
            log.memory.append(point)

    def leave_out(self, log: EngineLog, problem: str) -> None:
        """Note why an engine takes no further part, and end its process."""
        log.problem = problem
        self.progress.say(f"{log.spec.name}: {problem}")
        self.end(log)

    def end(self, log: EngineLog) -> None:
        """End an engine's process, if it has one."""
        if log.spec.name in self._workers:
            self._workers[log.spec.name].end()
            del self._workers[log.spec.name]

    def end_all(self) -> None:
        """Leave no process behind, not even where a second interrupt comes."""
        for worker in self._workers.values():
            worker.kill()
        for log in self.logs:
            self.end(log)


def rotated(logs: Sequence[EngineLog], by: int) -> list[EngineLog]:
    """Begin the order of engines `by` places further on."""
    by %= len(logs)
    return [*logs[by:], *logs[:by]]


def _note_peak(log: EngineLog, peak_bytes: int | None) -> None:
    if peak_bytes is not None:
        log.peak_memory_bytes = max(peak_bytes, log.peak_memory_bytes or 0)
