"""What is measured after the rounds: labelled data, open load, idle CPU, the graphs' profiles."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertedge.bench.config import Settings
from bertedge.bench.discovery import EngineSpec
from bertedge.bench.logs import EngineLog, Measurement, Workload
from bertedge.bench.messages import Label, Labels, Profiled, ProfileGraph, Ran, Run, Serve, Served
from bertedge.bench.process import Worker, WorkerError, python_command
from bertedge.bench.runner import EngineRunner
from bertedge.bench.scenarios.open_load import (
    LIMIT,
    QUICK_SHARES,
    SHARES,
    OpenLoad,
    arrivals,
    describe_point,
    max_rate_within_slo,
)
from bertedge.bench.scenarios.profile import describe_profile

LABELS, LOADS, PROFILES = "labelled data", "open load", "profiles"
IDLE_S = 1.0
WARM_UP_MS = 200.0
"""Before the first rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphToProfile:
    """A graph, and what it is a stage of."""

    graph: str
    stage: str
    workload: str
    request: ProfileGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """What is to be measured after the rounds; the default is nothing but idle CPU."""

    labelled: tuple[tuple[str, ...], ...] = ()
    """Texts whose labels are known."""
    load: Workload | None = None
    """The workload whose inputs arrive at random times."""
    graphs: tuple[GraphToProfile, ...] = ()


def label_all(runner: EngineRunner, after: After) -> None:
    """Have every engine label the texts whose labels are known."""
    if not after.labelled:
        return
    due = [log for log in runner.logs if _labels(log.spec)]
    texts = len(after.labelled)
    runner.begin(LABELS, f"{texts} texts", texts * len(due), "texts")
    for log in due:
        said = runner.ask(log, Label(texts=after.labelled), Labels, "labelled data")
        log.labelled = said.labels if said else None
        runner.progress.advance(texts, log.spec.name)


def offer_loads(runner: EngineRunner, after: After) -> None:
    """Offer every engine rising rates of arrivals, until it is saturated."""
    if after.load is None or not runner.settings.load_s:
        return
    samples_ms = {
        log.spec.name: [
            ms for turn in log.turns if turn.workload == after.load.name for ms in turn.samples_ms
        ]
        for log in runner.logs
    }
    due = [
        log
        for log in runner.logs
        if log.spec.noise_control_of is None and samples_ms[log.spec.name] and not log.problem
    ]
    runner.begin(LOADS, after.load.name, len(due), "engines")
    for log in due:
        own_ms = samples_ms[log.spec.name]
        baseline_ms = samples_ms.get(log.spec.baseline or "") or own_ms
        limit_ms = LIMIT * statistics.median(baseline_ms)
        _offer_load(runner, log, after.load.name, own_ms, limit_ms)
        runner.note_memory(log, "open load")
        runner.progress.advance(1)


def rest_all(runner: EngineRunner) -> None:
    """See what CPU time each process takes in the second after a last run."""
    marks: list[tuple[EngineLog, int, float, float]] = []
    for log in runner.logs:
        pid = runner.pid(log)
        if pid is None or not log.ready or log.problem:
            continue
        last = Run(workload=next(iter(log.ready)), first=0, repeats=1, warm_up_ms=0)
        ran = runner.ask(log, last, Ran, "last run")
        used_s = cpu_seconds(pid)
        if ran and used_s is not None:
            marks.append((log, pid, time.perf_counter(), used_s))
    for log, pid, moment, used_s in marks:
        time.sleep(max(moment + IDLE_S - time.perf_counter(), 0))
        now_s = cpu_seconds(pid)
        if now_s is not None:
            log.idle_cpu = max(now_s - used_s, 0.0) / (time.perf_counter() - moment)


def profile_all(measurement: Measurement, after: After, runner: EngineRunner) -> None:
    """Profile each graph in a process of its own; one that fails is noted."""
    settings = runner.settings
    if after.graphs:
        runner.begin(PROFILES, f"{len(after.graphs)} graphs", len(after.graphs), "graphs")
    for each in after.graphs:
        try:
            command = python_command("bertedge.bench.worker")
            with Worker(command, threads=settings.threads) as worker:
                answer = worker.ask(each.request, timeout_s=settings.timeout_s)
        except WorkerError as error:
            measurement.unprofiled[each.graph] = str(error)
            continue
        finally:
            runner.progress.advance(1, each.graph)
        if isinstance(answer, Profiled) and answer.operators:
            measurement.profiles.append(
                describe_profile(
                    answer,
                    graph=each.graph,
                    stage=each.stage,
                    workload=each.workload,
                    runs=each.request.runs,
                )
            )


def cpu_seconds(pid: int) -> float | None:
    """Sum the CPU time of a process's threads; None where the system does not tell."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        rows = [(thread / "schedstat").read_text(encoding="ascii") for thread in threads]
        return sum(int(row.split()[0]) for row in rows) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def _offer_load(
    runner: EngineRunner,
    log: EngineLog,
    workload: str,
    samples_ms: Sequence[float],
    limit_ms: float,
) -> None:
    settings = runner.settings
    alone_per_s = 1000 / statistics.fmean(samples_ms)
    points = []
    # It has waited for the other engines: its caches and the processor's clock have gone down.
    runner.ask(
        log, Run(workload=workload, first=0, repeats=1, warm_up_ms=WARM_UP_MS), Ran, "open load"
    )
    for number, share in enumerate(_shares(settings)):
        rate = share * alone_per_s
        schedule = arrivals(rate, settings.load_s, seed=settings.seed + number)
        request = Serve(workload=workload, first=0, arrivals_s=schedule)
        runner.progress.advance(0, f"{log.spec.name}, {rate:.3g} texts/s")
        served = runner.ask(log, request, Served, f"open load, {rate:.0f} texts/s")
        if served is None:
            break
        if len(served.latencies_ms) != len(schedule) or min(served.latencies_ms) <= 0:
            runner.leave_out(log, f"open load: {len(served.latencies_ms)} latencies are not as due")
            break
        points.append(describe_point(rate, schedule, served.latencies_ms))
        if points[-1].saturated:
            break
    log.open_load = OpenLoad(
        engine=log.spec.name,
        workload=workload,
        seed=settings.seed,
        unloaded_p50_ms=statistics.median(samples_ms),
        limit_ms=limit_ms,
        max_rate_within_slo=max_rate_within_slo(points, limit_ms),
        points=tuple(points),
    )


def _labels(spec: EngineSpec) -> bool:
    """Tell whether an engine labels the texts whose labels are known."""
    return spec.noise_control_of is None and "texts" in spec.takes


def _shares(settings: Settings) -> tuple[float, ...]:
    return QUICK_SHARES if settings.quick else SHARES
