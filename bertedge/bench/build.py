"""The report of a bench, put together from all or part of what was to be measured."""

import statistics
from collections.abc import Sequence

from bertedge.bench.config import MIN_FLOOR
from bertedge.bench.describe import Setting, agreement, describe_engine, texts_of_run
from bertedge.bench.discovery import LeftOut
from bertedge.bench.logs import EngineLog, Measurement, Workload, ratio_of
from bertedge.bench.messages import TextWorkload
from bertedge.bench.process import thread_variables
from bertedge.bench.report import SCHEMA, Load, Noise, Report, Result
from bertedge.bench.statistics import Difference, Ratio, certain_distance, difference, summarize


def build_report(
    measurement: Measurement, workloads: Sequence[Workload], setting: Setting
) -> Report:
    """Turn what was measured, all or part, into the record."""
    logs = {log.spec.name: log for log in measurement.engines}
    engines = [log for log in measurement.engines if log.spec.noise_control_of is None]
    seed = setting.settings.seed
    noise = tuple(
        each
        for workload in workloads
        for log in measurement.engines
        if log.spec.noise_control_of and (each := _noise(log, logs, workload, seed))
    )
    floors = {(each.engine, each.workload): each.floor for each in noise}
    results = tuple(
        result
        for workload in workloads
        for log in engines
        if (result := _result(log, logs.get(log.spec.baseline or ""), workload, floors, setting))
    )
    return Report(
        schema=SCHEMA,
        command=setting.command,
        complete=measurement.complete,
        seconds=measurement.seconds,
        environment=setting.environment,
        thread_settings=thread_variables(setting.settings.threads),
        comparison=setting.comparison,
        settings=setting.settings,
        workloads=tuple(_load(workload, measurement) for workload in workloads),
        engines=tuple(describe_engine(log, logs, workloads, setting) for log in engines),
        results=results,
        noise=noise,
        open_loads=tuple(log.open_load for log in engines if log.open_load),
        profiles=tuple(measurement.profiles),
        left_out=(
            *setting.left_out,
            *(
                LeftOut(name=f"profile of {graph}", why=why)
                for graph, why in measurement.unprofiled.items()
            ),
        ),
        cpu_use=tuple(measurement.cpu_use),
        idle_wait=setting.idle_wait,
    )


def _load(workload: Workload, measurement: Measurement) -> Load:
    turns = [t for log in measurement.engines for t in log.turns if t.workload == workload.name]
    return Load(
        name=workload.name,
        batch=None if isinstance(workload, TextWorkload) else len(workload.batches[0]),
        length=None if isinstance(workload, TextWorkload) else len(workload.batches[0][0]),
        texts=texts_of_run(workload),
        repeats=max((len(turn.samples_ms) for turn in turns), default=0),
    )


def _noise(
    twin: EngineLog, logs: dict[str, EngineLog], workload: Workload, seed: int
) -> Noise | None:
    baseline = logs[twin.spec.noise_control_of or ""]
    ratio = ratio_of(twin, baseline, workload.name, seed)
    if ratio is None:
        return None
    return Noise(
        engine=baseline.spec.name,
        workload=workload.name,
        ratio=ratio,
        floor=max(MIN_FLOOR, certain_distance(ratio)),
    )


def _result(
    log: EngineLog,
    baseline: EngineLog | None,
    workload: Workload,
    floors: dict[tuple[str, str], float],
    setting: Setting,
) -> Result | None:
    turns = {turn.round: turn.samples_ms for turn in log.turns if turn.workload == workload.name}
    if not turns:
        return None
    ready = log.ready[workload.name]
    speedup = ratio_of(log, baseline, workload.name, setting.settings.seed) if baseline else None
    floor = floors.get((log.spec.baseline or "", workload.name), 0.0)
    samples_ms = [ms for turn in turns.values() for ms in turn]
    return Result(
        engine=log.spec.name,
        workload=workload.name,
        latency=summarize(samples_ms),
        texts_per_second=texts_of_run(workload) * 1000 / statistics.fmean(samples_ms),
        speedup=speedup,
        difference=_difference(speedup, floor),
        agreement=agreement(log, baseline, [workload], setting),
        warm_up_runs=ready.warm_up_runs,
        warm_up_s=log.warm_up_s[workload.name],
        settled=ready.stable,
        rounds=tuple(turns),
        rounds_ms=tuple(turns.values()),
    )


def _difference(ratio: Ratio | None, floor: float) -> Difference | None:
    if ratio is None or ratio.low is None or ratio.high is None:
        return None
    return difference(ratio.low, ratio.high, floor)
