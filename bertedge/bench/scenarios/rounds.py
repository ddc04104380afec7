"""The run: cold starts, warm-up, rounds in which the engines take turns, and what comes after.

One engine works at a time; the others wait for their input. In every round the order of the
engines moves on by one, so that none always runs after the same neighbour. An engine that
crashes, hangs or fails is noted and left out of the rest.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bertedge.bench.config import (
    LONG_RUN_MS,
    MIN_FLOOR,
    MIN_REPEATS,
    MIN_TURN_S,
    SLOWEST_TURN,
    TURN_WARM_UP_MS,
    Settings,
)
from bertedge.bench.discovery import EngineSpec
from bertedge.bench.interference import Watch
from bertedge.bench.logs import EngineLog, Measurement, Workload, ratio_of
from bertedge.bench.messages import Run, TextWorkload
from bertedge.bench.runner import EngineRunner, rotated
from bertedge.bench.scenarios import afterwards
from bertedge.bench.scenarios.afterwards import After
from bertedge.bench.statistics import is_open
from bertedge.progress import Progress

STARTS, WARM_UP, ROUNDS = "cold starts", "warm-up", "rounds"
"""The parts of a bench before those of `bertedge.bench.scenarios.afterwards`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What the turns at one workload are."""

    workload: Workload
    run: Run
    limit_ms: float
    """That an engine's turn may take."""
    energy: bool
    """True where energy is read around the runs."""


def measure(
    specs: Sequence[EngineSpec],
    workloads: Sequence[Workload],
    settings: Settings,
    progress: Progress,
    after: After | None = None,
    watch: Watch | None = None,
) -> Measurement:
    """Run all engines at all workloads; Ctrl-C returns what is finished, `complete` False.

    The `watch` may have begun earlier: its first note is of the time before.
    """
    measurement = Measurement(engines=[EngineLog(spec=spec) for spec in specs])
    after, watch = after or After(), watch or Watch()
    runner = EngineRunner(measurement.engines, settings, progress)
    began = time.perf_counter()
    note = measurement.cpu_use.append
    note(watch.note("before"))
    try:
        start_all(runner)
        watch.restart()  # what processes took that were killed with their parent is not known
        warm_up_all(runner, workloads)
        note(watch.note("warm-up"))
        take_turns(runner, workloads, lambda where: note(watch.note(where)))
        afterwards.label_all(runner, after)
        afterwards.offer_loads(runner, after)
        afterwards.rest_all(runner)
        note(watch.note("after"))
        runner.end_all()
        afterwards.profile_all(measurement, after, runner)
        measurement.complete = True
    except KeyboardInterrupt:
        pass
    finally:
        runner.end_all()
        progress.finish()
    measurement.seconds = time.perf_counter() - began
    return measurement


def start_all(runner: EngineRunner) -> None:
    """Start each engine several times, one at a time; the last of its processes stays."""
    starts = runner.settings.starts
    due = [
        log
        for number in range(starts)
        for log in rotated(runner.logs, number)
        if number < (log.spec.starts or starts)
    ]
    runner.begin(STARTS, f"{len(runner.logs)} engines", len(due), "starts")
    for log in due:
        if not log.problem:
            runner.end(log)
            runner.start(log)
        runner.progress.advance(1, log.spec.name)


def warm_up_all(runner: EngineRunner, workloads: Sequence[Workload]) -> None:
    """Give every engine every workload that it takes."""
    pairs = count_pairs(runner, workloads)
    runner.begin(WARM_UP, f"{len(workloads)} workloads", pairs, "workloads")
    for workload in workloads:
        for log in runner.logs:
            if takes(log.spec, workload):
                runner.warm_up(log, workload)
                runner.progress.advance(1, f"{log.spec.name}, {workload.name}")


def take_turns(
    runner: EngineRunner, workloads: Sequence[Workload], note: Callable[[str], None]
) -> None:
    """Go round by round through all workloads, in each engine by engine.

    Extra rounds follow at each workload where a ratio is not known well enough yet. `note` is
    called after each round.
    """
    settings = runner.settings
    turns = [plan_turns(item, workloads, runner.logs, settings) for item in workloads]
    turns_due = settings.rounds * count_pairs(runner, workloads)
    runner.begin(ROUNDS, f"{settings.rounds}", turns_due, "turns")
    for number in range(settings.rounds):
        for turn in turns:
            take_round(runner, turn, number)
        for log in runner.logs:
            runner.note_memory(log, f"round {number + 1}")
        note(f"round {number + 1}")
    if settings.extra_rounds:
        runner.progress.start(f"further {ROUNDS}", None, "turns")
    for turn in turns:
        take_extra_rounds(runner, turn, time.perf_counter() + settings.extra_s / len(turns))
    if settings.extra_rounds:
        note("extra rounds")


def take_extra_rounds(runner: EngineRunner, turn: Turns, deadline_s: float) -> None:
    """Go on until every ratio is known well enough, or until the time is up."""
    rounds = runner.settings.rounds
    for number in range(rounds, rounds + runner.settings.extra_rounds):
        # In this order: to tell what is unsure, every ratio is resampled.
        if time.perf_counter() > deadline_s or not is_unsure(turn.run.workload, runner):
            return
        take_round(runner, turn, number)


def take_round(runner: EngineRunner, turn: Turns, number: int) -> None:
    """Let every engine take its turn at a workload."""
    run = replace(turn.run, first=number * turn.run.repeats)
    for log in rotated(runner.logs, number):
        if takes(log.spec, turn.workload):
            runner.take_turn(log, run, number, limit_ms=turn.limit_ms, energy=turn.energy)
            runner.progress.advance(1, f"round {number + 1}, {run.workload}")


def is_unsure(workload: str, runner: EngineRunner) -> bool:
    """Tell whether any ratio at a workload has an interval that is too wide or says too little."""
    logs = {log.spec.name: log for log in runner.logs if not log.problem}
    for log in logs.values():
        baseline = logs.get(log.spec.baseline or "")
        ratio = ratio_of(log, baseline, workload, runner.settings.seed) if baseline else None
        if ratio is None or ratio.low is None or ratio.high is None:
            continue
        wide = ratio.high - ratio.low > 2 * runner.settings.within * ratio.median
        if wide or is_open(ratio.low, ratio.high, MIN_FLOOR):
            return True
    return False


def plan_turns(
    workload: Workload,
    workloads: Sequence[Workload],
    logs: Sequence[EngineLog],
    settings: Settings,
) -> Turns:
    """Tell what the turns at a workload are: the same for all engines, unless one is very slow."""
    run, run_ms = plan_turn(workload.name, logs, settings)
    return Turns(
        workload=workload,
        run=run,
        limit_ms=max(SLOWEST_TURN * settings.turn_s * 1000, 2 * run.repeats * run_ms),
        energy=workload is workloads[-1],  # the one that keeps the processor busiest
    )


def plan_turn(workload: str, logs: Sequence[EngineLog], settings: Settings) -> tuple[Run, float]:
    """Tell what a turn is, by the milliseconds that the baseline's runs take, and these.

    Without a baseline that works, by the slowest engine's.
    """
    sound = [log for log in logs if workload in log.ready and not log.problem]
    deciding = [log for log in sound if log.spec.baseline is None] or sound
    run_ms = max((log.ready[workload].run_ms for log in deciding), default=1.0)
    fitting = int(settings.turn_s * 1000 / max(run_ms, 1e-3))
    at_least = max(1, min(MIN_REPEATS, int(MIN_TURN_S * 1000 / max(run_ms, 1e-3))))
    run = Run(
        workload=workload,
        first=0,
        repeats=min(settings.repeats, max(at_least, fitting)),
        warm_up_ms=0.0 if run_ms > LONG_RUN_MS else TURN_WARM_UP_MS,
    )
    return run, run_ms


def takes(spec: EngineSpec, workload: Workload) -> bool:
    """Tell whether an engine can be given a workload."""
    return ("texts" if isinstance(workload, TextWorkload) else "tokens") in spec.takes


def count_pairs(runner: EngineRunner, workloads: Sequence[Workload]) -> int:
    """Count the engines of each workload together."""
    return sum(takes(log.spec, workload) for log in runner.logs for workload in workloads)
