"""What changed since an earlier bench, beyond the noise of both.

Two benches are two times of a machine's day, so that an engine's times are not compared as they
are, but as multiples of its baseline's of the same rounds; only a baseline's own times are.
"""

from dataclasses import dataclass

import numpy as np

from bertedge.bench.reliability import unreliable
from bertedge.bench.report import EngineReport, Report, Result, field_at
from bertedge.bench.statistics import (
    MIN_ROUNDS,
    Difference,
    difference,
    percentile_interval,
    resampled_medians,
)
from bertedge.bench.wording import mib, number

UNKNOWN_NOISE = 0.05
"""Taken for the noise of a record that did not measure it."""
MEMORY_SHARE, DISK_SHARE = 0.05, 0.005
"""Changes of these shares are told; memory's peak depends on the allocator's mood."""
_SETTING = {
    "bundle": "comparison.bundle", "baseline": "comparison.baseline", "data": "comparison.data",
    "CPU": "environment.cpu", "cores": "environment.cores", "system": "environment.system",
    "Python": "environment.python", "threads": "settings.threads", "texts": "settings.texts",
    "seed": "settings.seed",
}  # fmt: skip
"""What may explain a change, and where it stands in a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The latency of one engine at one workload, then and now."""

    then: Result
    now: Result
    ratio: float
    """The time now over the time then; both over the baseline's, but for a baseline."""
    floor: float
    """The sum of both benches' noise."""
    difference: Difference | None
    """None where either had too few rounds for an interval."""
    over_baseline: bool


def compare_latencies(old: Report, new: Report) -> list[Change]:
    """Compare every engine and workload that both have, in the order of the new."""
    changes = []
    for now in new.results:
        before, after = old.at(now.workload), new.at(now.workload)
        then, base = before.get(now.engine), new.by_name[now.engine].baseline
        if then is None or base != old.by_name[now.engine].baseline:
            continue
        bases = before.get(base or ""), after.get(base or "")
        if base is None or None not in bases:
            floor = _floor(old, now.workload) + _floor(new, now.workload)
            changes.append(_change((then, bases[0]), (now, bases[1]), floor))
    return changes


def comparison_lines(old: Report, new: Report, name: str) -> list[str]:
    """Write what changed: the setting first, then figures beyond the noise.

    No time is compared where either bench is not reliable.
    """
    untimed = [
        f"times are not compared: {which} bench is not reliable ({why})"
        for which, report in (("the earlier", old), ("this", new))
        if (why := unreliable(report))
    ]
    changes = [] if untimed else compare_latencies(old, new)
    told = [change for change in changes if change.difference not in (None, Difference.NONE)]
    unsure = sum(change.difference is None for change in changes)
    same = len(changes) - len(told) - unsure
    lines = [f"not the same: {line}" for line in _settings(old, new)] + untimed
    lines += map(_sentence, told)
    if same:
        lines.append(f"{same} latencies show no difference beyond the noise")
    if unsure:
        lines.append(f"{unsure} latencies had fewer than {MIN_ROUNDS} rounds: not compared")
    if not changes and not untimed:
        lines.append("no engine was measured at the same workload in both")
    for engine in new.engines:
        if then := old.by_name.get(engine.name):
            lines += [f"{engine.name}: {line}" for line in _other(then, engine, timed=not untimed)]
    return [f"Since {name} of {old.environment.created[:10]}:", *(f"  {line}" for line in lines)]


def _change(
    then: tuple[Result, Result | None], now: tuple[Result, Result | None], floor: float
) -> Change:
    before, after = _medians(*then), _medians(*now)
    found = None
    if min(len(before), len(after)) >= MIN_ROUNDS:
        # Each is resampled on its own: rounds are not paired across benches.
        ratios = resampled_medians(after, seed=1) / resampled_medians(before)
        low, high = percentile_interval(ratios)
        found = difference(2 - high, 2 - low, floor)  # mirrored: less time is faster
    return Change(
        then=then[0],
        now=now[0],
        ratio=float(np.median(after) / np.median(before)),
        floor=floor,
        difference=found,
        over_baseline=now[1] is not None,
    )


def _medians(result: Result, baseline: Result | None) -> list[float]:
    """Return each round's median, over the baseline's in that round where there is one."""
    own = dict(zip(result.rounds, map(np.median, result.rounds_ms), strict=True))
    if baseline is None:
        return [float(median) for median in own.values()]
    theirs = dict(zip(baseline.rounds, map(np.median, baseline.rounds_ms), strict=True))
    return [float(own[i] / theirs[i]) for i in own if i in theirs]


def _floor(report: Report, workload: str) -> float:
    found = [item.floor for item in report.noise if item.workload == workload]
    return max(found, default=UNKNOWN_NOISE)


def _sentence(change: Change) -> str:
    then, now = (number(each.latency.p50_ms) for each in (change.then, change.now))
    relative = " relative to its baseline" if change.over_baseline else ""
    return (
        f"{change.now.engine} at {change.now.workload}: {max(change.ratio, 1 / change.ratio):.2f} "
        f"times {change.difference}{relative}, {then} -> {now} ms (noise {change.floor:.1%})"
    )


def _settings(old: Report, new: Report) -> list[str]:
    """Return what of the setting differs, as each may explain a change."""
    pairs = [(name, field_at(old, path), field_at(new, path)) for name, path in _SETTING.items()]
    then, now = old.environment.versions, new.environment.versions
    pairs += [(name, then.get(name), now.get(name)) for name in {**then, **now}]
    lines = [f"{name} {_or(a)} -> {_or(b)}" for name, a, b in pairs if a != b]
    before, after = set(old.by_name), set(new.by_name)
    lines += [f"engine {name} only then" for name in sorted(before - after)]
    return lines + [f"engine {name} only now" for name in sorted(after - before)]


def _other(then: EngineReport, now: EngineReport, *, timed: bool) -> list[str]:
    """Return what else changed of an engine: start, sizes, labels, problems."""
    lines = []
    before, after = ([start.total_s for start in each.cold_starts] for each in (then, now))
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
            lines.append(f"{name} {mib(a)} -> {mib(b)} MiB")
    metric = now.labelled.metric.replace("_", " ") if now.labelled else ""
    for what, path, form in (
        ("labels agree {} -> {}", "on_texts.share", "{:.1%}"),
        ("same entity lists {} -> {} of texts", "text_agreement", "{:.1%}"),
        (f"{metric} {{}} -> {{}}", "labelled.value", "{:.4f}"),
    ):
        a, b = field_at(then, path), field_at(now, path)
        if None not in (a, b) and a != b:
            lines.append(what.format(form.format(a), form.format(b)))
    if then.problem != now.problem:
        lines.append(f"problem {_or(then.problem)} -> {_or(now.problem)}")
    return lines


def _or(value: object) -> str:
    return "none" if value is None else str(value)
