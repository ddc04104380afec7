"""What changed since an earlier bench, beyond the noise of both.

Two benches are two times of a machine's day, so that an engine's times are not compared as they
are, but as multiples of its baseline's of the same rounds; only a baseline's own times are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bertedge.bench import summary
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import EngineReport, Report, Result
from bertedge.bench.statistics import CONFIDENCE, MIN_ROUNDS, RESAMPLES, Difference, difference
from bertedge.bench.wording import number

UNKNOWN_NOISE = 0.05
"""Taken for the noise of a record that did not measure it."""
MEMORY_SHARE, DISK_SHARE = 0.05, 0.005
"""Changes of these shares are told; memory's peak depends on the allocator's mood."""
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The latency of one engine at one workload, then and now."""

    engine: str
    workload: str
    then_ms: float
    """Median."""
    now_ms: float
    ratio: float
    """The time now over the time then; both over the baseline's, but for a baseline."""
    low: float | None
    """Of the bootstrap interval; None where either had too few rounds."""
    high: float | None
    floor: float
    """The sum of both benches' noise."""
    difference: Difference | None
    """None where there is no interval."""
    over_baseline: bool


def compare_latencies(old: Report, new: Report) -> list[Change]:
    """Compare every engine and workload that both have, in the order of the new."""
    before = {(result.engine, result.workload): result for result in old.results}
    after = {(result.engine, result.workload): result for result in new.results}
    baselines = {engine.name: engine.baseline for engine in new.engines}
    then_baselines = {engine.name: engine.baseline for engine in old.engines}
    changes = []
    for (engine, workload), now in after.items():
        then = before.get((engine, workload))
        baseline = baselines[engine]
        if then is None or baseline != then_baselines.get(engine):
            continue
        then_base = before.get((baseline or "", workload))
        now_base = after.get((baseline or "", workload))
        if baseline is not None and (then_base is None or now_base is None):
            continue
        changes.append(
            _change(then, now, then_base, now_base, _floor(old, workload) + _floor(new, workload))
        )
    return changes


def comparison_lines(old: Report, new: Report, name: str) -> list[str]:
    """Write what changed: the setting first, then figures beyond the noise.

    No time is compared where either bench is not reliable.
    """
    untimed = [
        f"  times are not compared: {which} bench is not reliable ({why})"
        for which, report in (("the earlier", old), ("this", new))
        if (why := unreliable(report))
    ]
    changes = [] if untimed else compare_latencies(old, new)
    told = [change for change in changes if change.difference not in (None, Difference.NONE)]
    unsure = sum(change.difference is None for change in changes)
    same = len(changes) - len(told) - unsure
    lines = [f"Since {name} of {old.environment.created[:10]}:"]
    lines += [f"  not the same: {line}" for line in _settings(old, new)]
    lines += [*untimed, *(f"  {_sentence(change)}" for change in told)]
    if same:
        lines.append(f"  {same} latencies show no difference beyond the noise")
    if unsure:
        lines.append(f"  {unsure} latencies had fewer than {MIN_ROUNDS} rounds: not compared")
    if not changes and not untimed:
        lines.append("  no engine was measured at the same workload in both")
    then = {engine.name: engine for engine in old.engines}
    for engine in new.engines:
        if engine.name in then:
            other = _other(then[engine.name], engine, timed=not untimed)
            lines += [f"  {engine.name}: {line}" for line in other]
    return lines


def _change(
    then: Result, now: Result, then_base: Result | None, now_base: Result | None, floor: float
) -> Change:
    before, after = _medians(then, then_base), _medians(now, now_base)
    low = high = found = None
    ratio = float(np.median(after) / np.median(before))
    if min(len(before), len(after)) >= MIN_ROUNDS:
        low, high = _interval(before, after)
        found = difference(2 - high, 2 - low, floor)  # mirrored: less time is faster
    return Change(
        engine=now.engine,
        workload=now.workload,
        then_ms=then.latency.p50_ms,
        now_ms=now.latency.p50_ms,
        ratio=ratio,
        low=low,
        high=high,
        floor=floor,
        difference=found,
        over_baseline=now_base is not None,
    )


def _medians(result: Result, baseline: Result | None) -> Sequence[float]:
    """Give each round's median, over the baseline's in that round where there is one."""
    own = dict(zip(result.rounds, map(np.median, result.rounds_ms), strict=True))
    if baseline is None:
        return [float(median) for median in own.values()]
    theirs = dict(zip(baseline.rounds, map(np.median, baseline.rounds_ms), strict=True))
    return [float(own[i] / theirs[i]) for i in own if i in theirs]


def _interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Resample the rounds of both, each on its own: they are not paired across benches."""
    generator = np.random.default_rng(0)
    medians = []
    for rounds in (before, after):
        values = np.asarray(rounds)
        picks = generator.integers(0, values.size, size=(RESAMPLES, values.size))
        medians.append(np.median(values[picks], axis=1))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians[1] / medians[0], [tail, 1 - tail])
    return float(low), float(high)


def _floor(report: Report, workload: str) -> float:
    found = [item.floor for item in report.noise if item.workload == workload]
    return max(found, default=UNKNOWN_NOISE)


def _sentence(change: Change) -> str:
    times = change.ratio if change.ratio > 1 else 1 / change.ratio
    text = (
        f"{change.engine} at {change.workload}: {times:.2f} times {change.difference}"
        f"{' relative to its baseline' if change.over_baseline else ''}, "
        f"{number(change.then_ms)} -> {number(change.now_ms)} ms"
    )
    return f"{text} (noise {change.floor:.1%})"


def _settings(old: Report, new: Report) -> list[str]:
    """Say what of the setting differs, as each may explain a change."""
    then, now = old.environment, new.environment
    pairs: list[tuple[str, object, object]] = [
        ("bundle", old.comparison.bundle, new.comparison.bundle),
        ("baseline", old.comparison.baseline, new.comparison.baseline),
        ("data", old.comparison.data, new.comparison.data),
        ("CPU", then.cpu, now.cpu),
        ("cores", then.cores, now.cores),
        ("system", then.system, now.system),
        ("Python", then.python, now.python),
        ("threads", old.settings.threads, new.settings.threads),
        ("texts", old.settings.texts, new.settings.texts),
        ("seed", old.settings.seed, new.settings.seed),
    ]
    names = {**then.versions, **now.versions}
    pairs += [(name, then.versions.get(name), now.versions.get(name)) for name in names]
    lines = [f"{name} {_or(a)} -> {_or(b)}" for name, a, b in pairs if a != b]
    before, after = ({engine.name for engine in report.engines} for report in (old, new))
    lines += [f"engine {name} only then" for name in sorted(before - after)]
    lines += [f"engine {name} only now" for name in sorted(after - before)]
    return lines


def _other(then: EngineReport, now: EngineReport, *, timed: bool) -> list[str]:
    """Say what else changed of an engine: start, sizes, labels, problems."""
    lines = []
    before = [start.total_s for start in then.cold_starts]
    after = [start.total_s for start in now.cold_starts]
    # Few starts give no interval; ranges that do not touch are as sure as these get.
    apart = before and after and (max(before) < min(after) or max(after) < min(before))
    if timed and apart:
        lines.append(f"cold start {np.median(before):.2f} -> {np.median(after):.2f} s")
    sizes = (
        ("peak memory", then.peak_memory_bytes, now.peak_memory_bytes, MEMORY_SHARE),
        ("on disk", then.bytes_on_disk, now.bytes_on_disk, DISK_SHARE),
    )
    for name, a, b, share in sizes:
        if a and b and abs(b / a - 1) > share:
            lines.append(f"{name} {number(a / MIB)} -> {number(b / MIB)} MiB")
    if then.on_texts and now.on_texts and then.on_texts.share != now.on_texts.share:
        lines.append(f"labels agree {then.on_texts.share:.1%} -> {now.on_texts.share:.1%}")
    before_texts, now_texts = summary.text_agreement(then), summary.text_agreement(now)
    if before_texts and now_texts and before_texts != now_texts:
        lines.append(f"same entity lists {before_texts:.1%} -> {now_texts:.1%} of texts")
    if then.labelled and now.labelled and then.labelled.value != now.labelled.value:
        metric = now.labelled.metric.replace("_", " ")
        lines.append(f"{metric} {then.labelled.value:.4f} -> {now.labelled.value:.4f}")
    if then.problem != now.problem:
        lines.append(f"problem {_or(then.problem)} -> {_or(now.problem)}")
    return lines


def _or(value: object) -> str:
    return "none" if value is None else str(value)
