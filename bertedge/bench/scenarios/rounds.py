"""Rounds in which the engines take turns at every workload; before them warm-up."""

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
)
from bertedge.bench.engine import EngineSpec
from bertedge.bench.protocol import Ready, Run, TextWorkload, Workload
from bertedge.bench.runner import Measurement
from bertedge.bench.statistics import is_open


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What the turns at one workload are."""

    workload: Workload
    run: Run
    limit_ms: float
    """That an engine's turn may take."""
    energy: bool
    """True where energy is read around the runs."""


def warm_up_all(measurement: Measurement, workloads: Sequence[Workload]) -> None:
    """Prepare every engine for every workload that it takes."""
    pairs = count_pairs(measurement, workloads)
    measurement.begin("warm-up", f"{len(workloads)} workloads", pairs, "workloads")
    for workload in workloads:
        for runner in measurement.runners:
            if takes(runner.spec, workload):
                runner.warm_up(workload)
                measurement.progress.advance(1, f"{runner.spec.name}, {workload.name}")


def take_turns(
    measurement: Measurement, workloads: Sequence[Workload], note: Callable[[str], None]
) -> None:
    """Go round by round through all workloads, in each engine by engine.

    Extra rounds follow at each workload where a ratio is not known well enough yet. `note` is
    called after each round.
    """
    settings = measurement.settings
    turns = [plan_turns(item, measurement, last=item is workloads[-1]) for item in workloads]
    turns_due = settings.rounds * count_pairs(measurement, workloads)
    measurement.begin("rounds", f"{settings.rounds}", turns_due, "turns")
    for number in range(settings.rounds):
        for turn in turns:
            take_round(measurement, turn, number)
        for runner in measurement.runners:
            runner.note_memory(f"round {number + 1}")
        note(f"round {number + 1}")
    if not settings.extra_rounds:
        return
    measurement.progress.start("further rounds", None, "turns")
    for turn in turns:
        deadline_s = time.perf_counter() + settings.extra_s / len(turns)
        for number in range(settings.rounds, settings.rounds + settings.extra_rounds):
            # In this order: to tell what is unsure, every ratio is resampled.
            if time.perf_counter() > deadline_s or not is_unsure(turn.run.workload, measurement):
                break
            take_round(measurement, turn, number)
    note("extra rounds")


def take_round(measurement: Measurement, turn: Turns, number: int) -> None:
    """Let every engine take its turn at a workload."""
    run = replace(turn.run, first=number * turn.run.repeats)
    for runner in measurement.rotated(number):
        if takes(runner.spec, turn.workload):
            runner.take_turn(run, number, limit_ms=turn.limit_ms, energy=turn.energy)
            measurement.progress.advance(1, f"round {number + 1}, {run.workload}")


def is_unsure(workload: str, measurement: Measurement) -> bool:
    """Return whether any ratio at a workload has an interval too wide or that says too little."""
    for runner in measurement.runners:
        baseline = measurement.baseline_of(runner)
        if baseline is None or runner.problem or baseline.problem:
            continue
        ratio = runner.ratio_to(baseline, workload)
        if ratio is None or ratio.low is None or ratio.high is None:
            continue
        wide = ratio.high - ratio.low > 2 * measurement.settings.within * ratio.median
        if wide or is_open(ratio.low, ratio.high, MIN_FLOOR):
            return True
    return False


def plan_turns(workload: Workload, measurement: Measurement, *, last: bool) -> Turns:
    """Return what the turns at a workload are: the same for all engines, unless one is very slow.

    The milliseconds that the baseline's runs take decide; without a baseline that works, those of
    the slowest engine. Energy is read at the last workload, which keeps the processor busiest.
    """
    settings, name = measurement.settings, workload.name
    sound = [each for each in measurement.runners if name in each.ready and not each.problem]
    deciding = [each for each in sound if each.spec.baseline is None] or sound
    run_ms = max((each.ready[name].run_ms for each in deciding), default=1.0)
    fitting = int(settings.turn_s * 1000 / max(run_ms, 1e-3))
    at_least = max(1, min(MIN_REPEATS, int(MIN_TURN_S * 1000 / max(run_ms, 1e-3))))
    run = Run(
        workload=name,
        first=0,
        repeats=min(settings.repeats, max(at_least, fitting)),
        warm_up_ms=0.0 if run_ms > LONG_RUN_MS else TURN_WARM_UP_MS,
    )
    limit_ms = max(SLOWEST_TURN * settings.turn_s * 1000, 2 * run.repeats * run_ms)
    return Turns(workload=workload, run=run, limit_ms=limit_ms, energy=last)


def predict_labelled(measurement: Measurement, texts: tuple[tuple[str, ...], ...]) -> None:
    """Have every engine predict the texts whose labels are known."""
    if not texts:
        return
    due = [
        runner
        for runner in measurement.runners
        if runner.spec.noise_control_of is None and "texts" in runner.spec.takes
    ]
    measurement.begin("labelled data", f"{len(texts)} texts", len(texts) * len(due), "texts")
    request = TextWorkload(name="labelled data", texts=texts, at_once=True, timed=False)
    for runner in due:
        found = runner.ask(request, Ready, request.name)
        runner.labelled = found.outputs if found else None
        measurement.progress.advance(len(texts), runner.spec.name)


def takes(spec: EngineSpec, workload: Workload) -> bool:
    """Return whether an engine can be given a workload."""
    return ("texts" if isinstance(workload, TextWorkload) else "tokens") in spec.takes


def count_pairs(measurement: Measurement, workloads: Sequence[Workload]) -> int:
    """Return the number of engines of each workload together."""
    return sum(takes(runner.spec, work) for runner in measurement.runners for work in workloads)
