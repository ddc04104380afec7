"""The report of a bench, put together from all or part of what was to be measured."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bertedge.bench.config import MIN_FLOOR, ScenarioConfig
from bertedge.bench.process import thread_variables
from bertedge.bench.protocol import TextWorkload, Workload
from bertedge.bench.report import (
    SCHEMA,
    Agreement,
    Comparison,
    EngineReport,
    Environment,
    IdleWait,
    Labelled,
    LeftOut,
    Load,
    Noise,
    Report,
    Result,
)
from bertedge.bench.runner import EngineRunner, Measurement
from bertedge.bench.scoring import Same, compare, score
from bertedge.bench.statistics import (
    certain_distance,
    difference,
    ratio_interval,
    summarize,
)
from bertedge.bench.workloads import LabelledTexts
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
    settings: ScenarioConfig
    left_out: tuple[LeftOut, ...] = ()
    at_export: dict[str, Accuracy] = field(default_factory=dict)
    """By variant."""
    labelled: LabelledTexts | None = None
    installed: dict[str, int] = field(default_factory=dict)
    """Bytes of installed packages, by engine."""
    idle_wait: IdleWait | None = None


def build_report(
    measurement: Measurement, workloads: Sequence[Workload], setting: Setting
) -> Report:
    """Turn what was measured, all or part, into the record."""
    runners = [each for each in measurement.runners if each.spec.noise_control_of is None]
    noise = tuple(_noise(measurement, workloads))
    floors = {(each.engine, each.workload): each.floor for each in noise}
    unprofiled = (
        LeftOut(name=f"profile of {graph}", why=why)
        for graph, why in measurement.unprofiled.items()
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
        engines=tuple(
            _engine(each, measurement.baseline_of(each), workloads, setting) for each in runners
        ),
        results=tuple(
            _result(each, measurement.baseline_of(each), workload, floors)
            for workload in workloads
            for each in runners
            if each.rounds_of(workload.name)
        ),
        noise=noise,
        open_loads=tuple(each.open_load for each in runners if each.open_load),
        profiles=tuple(measurement.profiles),
        left_out=(*setting.left_out, *unprofiled),
        cpu_use=tuple(measurement.cpu_use),
        idle_wait=setting.idle_wait,
    )


def _load(workload: Workload, measurement: Measurement) -> Load:
    rounds = [each.rounds_of(workload.name) for each in measurement.runners]
    return Load(
        name=workload.name,
        batch=None if isinstance(workload, TextWorkload) else workload.texts_of_run,
        length=None if isinstance(workload, TextWorkload) else len(workload.batches[0][0]),
        texts=workload.texts_of_run,
        repeats=max((len(turn) for each in rounds for turn in each.values()), default=0),
    )


def _noise(measurement: Measurement, workloads: Sequence[Workload]) -> Iterator[Noise]:
    for workload in workloads:
        for control in (each for each in measurement.runners if each.spec.noise_control_of):
            baseline = measurement.baseline_of(control)
            if baseline and (ratio := control.ratio_to(baseline, workload.name)):
                floor, name = max(MIN_FLOOR, certain_distance(ratio)), baseline.spec.name
                yield Noise(engine=name, workload=workload.name, ratio=ratio, floor=floor)


def _result(
    runner: EngineRunner,
    baseline: EngineRunner | None,
    workload: Workload,
    floors: dict[tuple[str, str], float],
) -> Result:
    name = workload.name
    rounds, samples_ms, ready = runner.rounds_of(name), runner.samples_of(name), runner.ready[name]
    speedup = runner.ratio_to(baseline, name) if baseline else None
    found = None
    if speedup and speedup.low is not None and speedup.high is not None:
        floor = floors.get((runner.spec.baseline or "", name), 0.0)
        found = difference(speedup.low, speedup.high, floor)
    return Result(
        engine=runner.spec.name,
        workload=name,
        latency=summarize(samples_ms),
        texts_per_second=workload.texts_of_run * 1000 / statistics.fmean(samples_ms),
        speedup=speedup,
        difference=found,
        agreement=_agreement(runner, baseline, [workload]),
        warm_up_runs=ready.warm_up_runs,
        warm_up_s=runner.warm_up_s[name],
        settled=ready.stable,
        rounds=tuple(rounds),
        rounds_ms=tuple(rounds.values()),
    )


def _engine(
    runner: EngineRunner,
    baseline: EngineRunner | None,
    workloads: Sequence[Workload],
    setting: Setting,
) -> EngineReport:
    spec, opened = runner.spec, runner.opened
    texts = [item for item in workloads if isinstance(item, TextWorkload)]
    tokens = [item for item in workloads if not isinstance(item, TextWorkload)]
    on_texts = _agreement(runner, baseline, texts)
    on_tokens = _agreement(runner, baseline, tokens)
    chosen = [ready.batching for ready in runner.ready.values() if ready.batching]
    starts = sorted(runner.cold_starts, key=lambda start: start.total_s)
    return EngineReport(
        name=spec.name,
        kind=spec.kind,
        device=spec.device,
        precision=spec.precision,
        baseline=spec.baseline,
        runs_on=opened.runs_on if opened else None,
        batching=chosen[-1] if chosen else spec.batching,
        bytes_on_disk=spec.bytes_on_disk,
        installed_bytes=setting.installed.get(spec.name),
        peak_memory_bytes=runner.peak_memory_bytes,
        memory=tuple(runner.memory),
        idle_cpu=runner.idle_cpu,
        joules_per_text=_joules_per_text(runner, workloads),
        cold_starts=tuple(runner.cold_starts),
        cold_start=starts[(len(starts) - 1) // 2] if starts else None,
        on_texts=on_texts,
        on_random_tokens=on_tokens,
        labelled=_labelled(runner, baseline, setting.labelled),
        at_export=setting.at_export.get(spec.name),
        problem=runner.problem or _disagreement(on_texts, on_tokens),
        versions=opened.versions if opened else {},
    )


def _agreement(
    runner: EngineRunner, baseline: EngineRunner | None, workloads: Sequence[Workload]
) -> Agreement | None:
    """Compare the outputs at workloads that both were given; None for values and a baseline."""
    model = runner.spec.open.model
    if baseline is None or (len(model.labels) == 1 and model.pooling is None):
        return None
    same = Same()
    for workload in workloads:
        ours, theirs = (each.ready.get(workload.name) for each in (runner, baseline))
        if ours and theirs:
            texts = workload.texts if isinstance(workload, TextWorkload) else ()
            same += compare(ours.outputs, theirs.outputs, texts)
    return same.agreement()


def _disagreement(on_texts: Agreement | None, on_tokens: Agreement | None) -> str | None:
    found = on_texts or on_tokens
    bound = MIN_AGREEMENT if on_texts else MIN_AGREEMENT_RANDOM
    if found is None or found.share >= bound:
        return None
    return f"disagrees with the baseline: {found.share:.1%} of {found.labels} labels are the same"


def _joules_per_text(runner: EngineRunner, workloads: Sequence[Workload]) -> float | None:
    texts = {workload.name: workload.texts_of_run for workload in workloads}
    turns = [turn for turn in runner.turns if turn.joules is not None]
    counted = sum(turn.runs * texts[turn.workload] for turn in turns)
    return sum(turn.joules or 0.0 for turn in turns) / counted if turns else None


def _labelled(
    runner: EngineRunner, baseline: EngineRunner | None, labelled: LabelledTexts | None
) -> Labelled | None:
    if labelled is None or runner.labelled is None:
        return None
    scored = score(labelled, runner.labelled, runner.spec.open.model.labels)
    if scored is None:
        return None
    same = None
    if baseline and baseline.labelled:
        same = compare(runner.labelled, baseline.labelled, labelled.texts).agreement()
    low, high = ratio_interval(scored.parts, seed=runner.settings.seed)
    return Labelled(
        data=labelled.data,
        metric=scored.scores.metric,
        value=scored.scores.value,
        rows=len(labelled.examples),
        agreement=same.share if same else None,
        low=low,
        high=high,
        text_agreement=same.texts if same else None,
    )
