"""An engine while it is measured: its process, and all that was measured of it so far."""

import time
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bertedge.bench.config import ScenarioConfig
from bertedge.bench.engine import EngineSpec
from bertedge.bench.process import Worker, WorkerError
from bertedge.bench.protocol import Answer, Opened, Output, Ran, Ready, Request, Run, Workload
from bertedge.bench.report import ColdStart, CpuUse, MemoryPoint, OpenLoad, Profile
from bertedge.bench.statistics import Ratio, paired_ratio
from bertedge.bench.trackers import joules_between, memory_of, read_counters
from bertedge.errors import shorten
from bertedge.progress import Progress, Silent

A = TypeVar("A", bound=Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The runs of one engine at one workload in one round."""

    workload: str
    round: int
    samples_ms: tuple[float, ...]
    joules: float | None = None
    """Of the whole processor, over all runs of the turn."""
    runs: int = 0
    """Those that were not counted included."""


@dataclass(slots=True, kw_only=True)
class EngineRunner:
    """One engine of a bench; what was measured of it so far is as good as the rest."""

    spec: EngineSpec
    settings: ScenarioConfig
    progress: Progress = field(default_factory=Silent)
    opened: Opened | None = None
    cold_starts: list[ColdStart] = field(default_factory=list)
    ready: dict[str, Ready] = field(default_factory=dict)
    """By workload."""
    warm_up_s: dict[str, float] = field(default_factory=dict)
    """By workload."""
    turns: list[Turn] = field(default_factory=list)
    labelled: tuple[Output, ...] | None = None
    """Predictions for the labelled texts."""
    open_load: OpenLoad | None = None
    idle_cpu: float | None = None
    memory: list[MemoryPoint] = field(default_factory=list)
    """Of the process that takes the turns."""
    problem: str | None = None
    """Why it was left out of the rest."""
    worker: Worker | None = None

    def start(self) -> None:
        """Start a process, instead of any there is, and have it predict its first text."""
        self.end()
        try:
            self.worker = Worker(self.spec.command, threads=self.settings.threads)
        except WorkerError as error:
            self.leave_out(f"start: {error}")
            return
        opened = self.ask(self.spec.open, Opened, "start")
        if opened:
            total_s = time.perf_counter() - self.worker.began_s
            told_s = opened.imports_s + opened.load_s + opened.first_run_s
            start = ColdStart(
                total_s=total_s,
                process_s=max(total_s - told_s, 0.0),
                imports_s=opened.imports_s,
                load_s=opened.load_s,
                first_run_s=opened.first_run_s,
            )
            self.opened = opened
            self.cold_starts.append(start)
            self.memory.clear()
            self.note_memory("start")

    def warm_up(self, workload: Workload) -> None:
        """Send the engine a workload."""
        began = time.perf_counter()
        ready = self.ask(workload, Ready, f"warm-up, {workload.name}")
        if ready:
            self.warm_up_s[workload.name] = time.perf_counter() - began
            self.ready[workload.name] = ready
            self.note_memory(f"warm-up {workload.name}")

    def take_turn(self, run: Run, number: int, *, limit_ms: float, energy: bool) -> None:
        """Make the runs of a round: fewer where they would take too long."""
        what = f"round {number + 1}, {run.workload}"
        if self.problem:
            return
        run_ms = self.ready[run.workload].run_ms
        if run_ms > limit_ms:
            self.leave_out(f"{what}: takes {run_ms / 1000:.1f} s a run, too slow to be measured")
            return
        repeats = max(1, min(run.repeats, int(limit_ms / max(run_ms, 1e-3))))
        before = read_counters() if energy else {}
        ran = self.run(replace(run, repeats=repeats), what)
        if ran is None:
            return
        self.turns.append(
            Turn(
                workload=run.workload,
                round=number,
                samples_ms=ran.samples_ms,
                joules=joules_between(before, read_counters()) if before else None,
                runs=repeats + ran.uncounted_runs,
            )
        )

    def run(self, run: Run, what: str) -> Ran | None:
        """Return the times of runs; None, and the engine is left out, where they are not as due."""
        ran = self.ask(run, Ran, what)
        if ran is None:
            return None
        if len(ran.samples_ms) != run.repeats or min(ran.samples_ms) <= 0:
            claims = f"{shorten(str(ran.samples_ms), 60)} ms"
            self.leave_out(f"{what}: claims {claims} for {run.repeats} runs")
            return None
        return ran

    def ask(self, request: Request, expected: type[A], what: str) -> A | None:
        """Return the engine's answer; None, and the engine is left out, where no good one comes."""
        if self.problem or self.worker is None:
            return None
        try:
            return self.worker.ask(request, expected, timeout_s=self.settings.timeout_s)
        except WorkerError as error:
            self.leave_out(f"{what}: {error}")
            return None

    def note_memory(self, where: str) -> None:
        """Look at the memory of the engine's process."""
        worker = self.worker
        point = worker and memory_of(worker.pid, where, time.perf_counter() - worker.began_s)
        if point:
            self.memory.append(point)

    def leave_out(self, problem: str) -> None:
        """Note why the engine takes no further part, and end its process."""
        self.problem = problem
        self.progress.say(f"{self.spec.name}: {problem}")
        self.end()

    def end(self) -> None:
        """End the engine's process, if it has one."""
        if self.worker is not None:
            self.worker.end()
            self.worker = None

    @property
    def peak_memory_bytes(self) -> int | None:
        """Return the largest resident size that was seen; None where the system does not tell."""
        return max((point.peak_bytes for point in self.memory), default=None)

    def rounds_of(self, workload: str) -> dict[int, tuple[float, ...]]:
        """Return the timed runs of a workload, by round, in milliseconds."""
        return {turn.round: turn.samples_ms for turn in self.turns if turn.workload == workload}

    def samples_of(self, workload: str) -> list[float]:
        """Return all timed runs of a workload, in milliseconds."""
        return [ms for samples_ms in self.rounds_of(workload).values() for ms in samples_ms]

    def ratio_to(self, baseline: "EngineRunner", workload: str) -> Ratio | None:
        """Return how many times as fast as the baseline; None where they share no round."""
        ours, theirs = (each.rounds_of(workload) for each in (self, baseline))
        both = [number for number in ours if number in theirs]
        if not both:
            return None
        times = ([rounds[number] for number in both] for rounds in (theirs, ours))
        return paired_ratio(*times, seed=self.settings.seed)


@dataclass(slots=True, kw_only=True)
class Measurement:
    """All that has been measured so far; what an interrupt leaves is as good as the rest."""

    runners: list[EngineRunner]
    settings: ScenarioConfig
    progress: Progress = field(default_factory=Silent)
    profiles: list[Profile] = field(default_factory=list)
    unprofiled: dict[str, str] = field(default_factory=dict)
    """Graphs that could not be profiled, and why."""
    cpu_use: list[CpuUse] = field(default_factory=list)
    seconds: float = 0.0
    complete: bool = False

    def begin(self, part: str, of: str, total: int | None, unit: str) -> None:
        """Begin a part of the bench and count its steps, which take much the same."""
        self.progress.say(f"{part}: {of}")
        self.progress.start(part, total, unit)

    def rotated(self, by: int) -> list[EngineRunner]:
        """Return the engines in an order that begins `by` places further on."""
        by %= len(self.runners)
        return [*self.runners[by:], *self.runners[:by]]

    def baseline_of(self, runner: EngineRunner) -> EngineRunner | None:
        """Return the engine that another is compared with; None for a baseline."""
        return next((each for each in self.runners if each.spec.name == runner.spec.baseline), None)

    def end(self) -> None:
        """Leave no process behind, not even where a second interrupt comes."""
        for runner in self.runners:
            if runner.worker is not None:
                runner.worker.kill()
        for runner in self.runners:
            runner.end()
