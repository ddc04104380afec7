"""The report of a bench, put together from all or part of what was to be measured."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bertedge.bench.engines import LeftOut
from bertedge.bench.environment import Environment
from bertedge.bench.measure import EngineLog, Measurement, Workload
from bertedge.bench.process import thread_variables
from bertedge.bench.protocol import Opened, TextWorkload
from bertedge.bench.report import (
    SCHEMA,
    Agreement,
    ColdStart,
    Comparison,
    Difference,
    EngineReport,
    Load,
    Report,
    Result,
)
from bertedge.bench.settings import Settings
from bertedge.bench.statistics import Ratio, paired_ratio, summarize
from bertedge.bundle import Accuracy

MIN_AGREEMENT = 0.9
"""An engine that gives fewer of the baseline's labels than this is said to disagree (on texts)."""
MIN_AGREEMENT_RANDOM = 0.5
"""The same where only random tokens were labelled. No model is sure of those, so that sound int8
flips one in ten or more of their labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a report says beside the measurement."""

    command: str
    environment: Environment
    comparison: Comparison
    settings: Settings
    left_out: tuple[LeftOut, ...]
    at_export: dict[str, Accuracy]
    """By variant."""


def build_report(
    measurement: Measurement, workloads: Sequence[Workload], setting: Setting
) -> Report:
    """Turn what was measured, all or part, into the record."""
    logs = {log.spec.name: log for log in measurement.engines}
    results = tuple(
        result
        for workload in workloads
        for log in measurement.engines
        if (result := _result(log, logs.get(log.spec.baseline or ""), workload, setting.settings))
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
        engines=tuple(_engine(log, logs, workloads, setting) for log in measurement.engines),
        results=results,
        noise=(),
        open_loads=(),
        profiles=(),
        left_out=setting.left_out,
    )


def _load(workload: Workload, measurement: Measurement) -> Load:
    turns = [t for log in measurement.engines for t in log.turns if t.workload == workload.name]
    return Load(
        name=workload.name,
        batch=None if isinstance(workload, TextWorkload) else len(workload.batches[0]),
        length=None if isinstance(workload, TextWorkload) else len(workload.batches[0][0]),
        texts=_texts(workload),
        repeats=max((len(turn.samples_ms) for turn in turns), default=0),
    )


def _texts(workload: Workload) -> int:
    if isinstance(workload, TextWorkload):
        return len(workload.texts) if workload.at_once else 1
    return len(workload.batches[0])


def _result(
    log: EngineLog, baseline: EngineLog | None, workload: Workload, settings: Settings
) -> Result | None:
    turns = {turn.round: turn.samples_ms for turn in log.turns if turn.workload == workload.name}
    if not turns:
        return None
    ready = log.ready[workload.name]
    speedup = _speedup(turns, baseline, workload, settings)
    samples_ms = [ms for turn in turns.values() for ms in turn]
    return Result(
        engine=log.spec.name,
        workload=workload.name,
        latency=summarize(samples_ms),
        texts_per_second=_texts(workload) * 1000 / statistics.fmean(samples_ms),
        speedup=speedup,
        difference=_difference(speedup),
        agreement=_agreement(log, baseline, [workload]),
        warm_up_runs=ready.warm_up_runs,
        warm_up_s=log.warm_up_s[workload.name],
        settled=ready.stable,
        rounds=tuple(turns),
        rounds_ms=tuple(turns.values()),
    )


def _speedup(
    turns: dict[int, tuple[float, ...]],
    baseline: EngineLog | None,
    workload: Workload,
    settings: Settings,
) -> Ratio | None:
    if baseline is None:
        return None
    theirs = {t.round: t.samples_ms for t in baseline.turns if t.workload == workload.name}
    both = [number for number in turns if number in theirs]
    if not both:
        return None
    return paired_ratio(
        [theirs[number] for number in both], [turns[number] for number in both], seed=settings.seed
    )


def _difference(ratio: Ratio | None) -> Difference | None:
    if ratio is None or ratio.low is None or ratio.high is None:
        return None
    if ratio.low <= 1 <= ratio.high:
        return Difference.NONE
    return Difference.FASTER if ratio.median > 1 else Difference.SLOWER


def _engine(
    log: EngineLog, logs: dict[str, EngineLog], workloads: Sequence[Workload], setting: Setting
) -> EngineReport:
    spec = log.spec
    starts = tuple(_cold_start(start.total_s, start.opened) for start in log.starts)
    baseline = logs.get(spec.baseline or "")
    texts = [item for item in workloads if isinstance(item, TextWorkload)]
    tokens = [item for item in workloads if not isinstance(item, TextWorkload)]
    on_texts = _agreement(log, baseline, texts)
    on_tokens = _agreement(log, baseline, tokens)
    return EngineReport(
        name=spec.name,
        kind=spec.kind,
        device=spec.device,
        precision=spec.precision,
        baseline=spec.baseline,
        runs_on=log.starts[-1].opened.runs_on if log.starts else None,
        batching=spec.batching,
        bytes_on_disk=spec.bytes_on_disk,
        installed_bytes=None,
        peak_memory_bytes=log.peak_memory_bytes,
        memory=(),
        idle_cpu=None,
        joules_per_text=None,
        cold_starts=starts,
        cold_start=_median_start(starts),
        on_texts=on_texts,
        on_random_tokens=on_tokens,
        labelled=None,
        at_export=setting.at_export.get(spec.name),
        problem=log.problem or _disagreement(on_texts, on_tokens),
        versions=log.starts[-1].opened.versions if log.starts else {},
    )


def _cold_start(total_s: float, opened: Opened) -> ColdStart:
    told_s = opened.imports_s + opened.load_s + opened.first_run_s
    return ColdStart(
        total_s=total_s,
        process_s=max(total_s - told_s, 0.0),
        imports_s=opened.imports_s,
        load_s=opened.load_s,
        first_run_s=opened.first_run_s,
    )


def _median_start(starts: Sequence[ColdStart]) -> ColdStart | None:
    ordered = sorted(starts, key=lambda start: start.total_s)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def _agreement(
    log: EngineLog, baseline: EngineLog | None, workloads: Sequence[Workload]
) -> Agreement | None:
    """Compare the labels of workloads that both were given; a wrong count agrees on none."""
    if baseline is None:
        return None
    same = total = 0
    for workload in workloads:
        if workload.name in log.ready and workload.name in baseline.ready:
            ours, theirs = log.ready[workload.name].labels, baseline.ready[workload.name].labels
            total += len(theirs)
            if len(ours) == len(theirs):
                same += sum(one == other for one, other in zip(ours, theirs, strict=True))
    return Agreement(share=same / total, labels=total) if total else None


def _disagreement(on_texts: Agreement | None, on_tokens: Agreement | None) -> str | None:
    agreement = on_texts or on_tokens
    bound = MIN_AGREEMENT if on_texts else MIN_AGREEMENT_RANDOM
    if agreement is None or agreement.share >= bound:
        return None
    return (
        f"disagrees with the baseline: {agreement.share:.1%} of {agreement.labels} labels are "
        "the same"
    )
