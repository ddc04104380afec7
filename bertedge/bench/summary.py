"""What a report comes to, in plain words."""

import math
import statistics
from collections.abc import Container

from bertedge.bench.interference import QUIET
from bertedge.bench.reliability import host_cores, other_cores, unreliable
from bertedge.bench.report import EngineReport, Labelled, Load, Report, Result
from bertedge.bench.statistics import Difference, Ratio
from bertedge.bench.wording import count
from bertedge.spec import LabelKind

BUSY = 0.6
"""Processes that want to run, for each core, from which other work must have disturbed."""
SURE = 1.96
"""Standard errors of a 95 % interval."""


def describe(load: Load) -> str:
    """Return the title of a workload's table."""
    runs = f"{count(load.repeats, 'run')} a round"
    if load.length is not None:
        return f"{load.name}: {count(load.texts, 'row')} of {load.length} tokens, {runs}"
    if load.texts == 1:
        return f"{load.name}: tokenizer and decoding included, {runs}"
    return f"{load.name}: a run labels all {load.texts}, {runs}"


def summary(report: Report) -> list[str]:
    """Return sentences on speed, size and accuracy; none where nothing can be said."""
    (best, base), why = compared(report), unreliable(report)
    if best is None or base is None:
        return [f"Not reliable ({why})."] if why else []
    speed, right = _speed(report, best, base), _accuracy(best, base) or _labels(report, best)
    if why:
        speed = f"Not reliable ({why}): {speed}"
    return [speed, _size(best, base), *([right] if right else [])]


def compared(report: Report) -> tuple[EngineReport | None, EngineReport | None]:
    """Return the bundle's best variant and its baseline; two None where nothing was measured."""
    best = best_variant(report)
    return best, report.by_name[best.baseline] if best and best.baseline else None


def best_variant(report: Report) -> EngineReport | None:
    """Return the bundle's variant with the highest mean speed-up, of those without a problem."""
    scored = [
        (statistics.geometric_mean(ratios), engine)
        for engine in report.engines
        if engine.kind == "bundle" and not engine.problem
        if (ratios := [ratio.median for _, ratio in _speedups(report, engine)])
    ]
    return max(scored, key=lambda pair: pair[0], default=(0.0, None))[1]


def main_load(report: Report) -> Load | None:
    """Return the workload that stands for the rest: one text, else the smallest batch.

    None where no workload has figures.
    """
    loads = report.measured()
    return min(loads, key=lambda load: (load.texts, load.length is not None), default=None)


def fastest(report: Report, load: Load, engines: Container[str] | None = None) -> Result | None:
    """Return the result of the lowest median at a workload, of (some) engines without a problem."""
    found = [
        result
        for name, result in report.at(load.name).items()
        if not report.by_name[name].problem and (engines is None or name in engines)
    ]
    return min(found, key=lambda result: result.latency.p50_ms, default=None)


def embeds(report: Report) -> bool:
    """Return whether engines agree by cosines rather than by labels."""
    return report.comparison.task.labels_are is LabelKind.VECTOR


def scored_by(report: Report) -> str:
    """Return what tells how right engines are: a metric where there is labelled data."""
    found = next((each.labelled.metric for each in report.engines if each.labelled), None)
    return metric_name(found) if found else "labels equal to the baseline's"


def notes(report: Report) -> list[str]:
    """Return what must be known to read the figures."""
    said = []
    if not report.complete:
        said.append("Interrupted: the figures cover the rounds that were finished.")
    if any(load.length is None for load in report.workloads):
        said += _batching(report)
    elif report.comparison.labels > 1:
        said.append(
            "Labels are compared on random tokens: this shows that engines compute the same, not "
            "what it costs in accuracy; add --data FILE for real texts."
        )
    if report.comparison.labels == 1:
        said.append("Values are timed, not compared: `bertedge evaluate` scores them.")
    if report.noise:
        floor = max(item.floor for item in report.noise)
        said.append(
            f"Noise (the baseline against itself, its worst workload): a difference of {floor:.1%} "
            "or less counts as none."
        )
    said += _disturbed(report)
    unsettled = sorted({result.engine for result in report.results if not result.settled})
    if unsettled:
        said.append(
            f"Times of {', '.join(unsettled)} were not stable after warm-up: expect a wide spread."
        )
    if not report.comparison.same_source:
        said.append("The bundle was made from another checkpoint than this baseline.")
    return said


def _disturbed(report: Report) -> list[str]:
    """Return what else the machine did; nothing where it was quiet or this is not known."""
    load, taken = report.environment.load, other_cores(report)
    cores, wait = host_cores(report), report.idle_wait
    said = []
    if unreliable(report):
        said.append("The times are not reliable: measure again on a quiet machine (--wait-idle).")
    elif taken is not None and taken > QUIET * cores:
        said.append(
            f"Other processes took {taken:.2f} of {count(cores, 'core')} during the rounds: "
            "measure again when the machine is idle (--wait-idle)."
        )
    elif taken is None and load is not None and load > BUSY * cores:
        said.append(
            f"The machine was busy before (load {load:.2f} on {count(cores, 'core')}): "
            "measure again when it is idle (--wait-idle)."
        )
    if wait and not wait.quiet:
        said.append(f"The machine was not quiet within the {wait.limit_s:g} s of --wait-idle.")
    return said


def _batching(report: Report) -> list[str]:
    """Return how engines batch many texts; nothing where this is not known."""
    ways: dict[str, list[str]] = {}
    for engine in report.engines:
        if engine.batching:
            ways.setdefault(engine.batching, []).append(engine.name)
    if len(ways) < 2:
        return [f"All engines batch texts all at once in the same way: {way}." for way in ways]
    parts = [f"{', '.join(names)}: {way}" for way, names in ways.items()]
    return [f"Each engine batches texts all at once in its own way. {'; '.join(parts)}."]


def _speed(report: Report, best: EngineReport, baseline: EngineReport) -> str:
    main, found = main_load(report), _speedups(report, best)
    first = [item for item in found if main and item[0].workload == main.name]
    rest = [item for item in found if item not in first]
    shown, summed = (first, rest) if len(rest) > 2 else (first + rest, [])
    parts = [f"{_times(*item)} on {item[0].workload}" for item in shown] + _range(summed)
    text = f"{best.name} against {baseline.name}: {_join(parts)}"
    if best.cold_start and baseline.cold_start:
        text += (
            f"; it gives its first label after {best.cold_start.total_s:.2f} s, "
            f"{baseline.name} after {baseline.cold_start.total_s:.2f} s"
        )
    return text + "."


def _range(found: list[tuple[Result, Ratio]]) -> list[str]:
    ratios = sorted(ratio.median for r, ratio in found if r.difference is not Difference.NONE)
    same = [result.workload for result, _ in found if result.difference is Difference.NONE]
    others = f"the {len(ratios)} other workloads" if len(ratios) > 1 else "another workload"
    return [
        *([f"{ratios[0]:.2f} to {ratios[-1]:.2f} times on {others}"] if ratios else []),
        *([f"no difference on {', '.join(same)}"] if same else []),
    ]


def _size(best: EngineReport, baseline: EngineReport) -> str:
    parts = [
        f"{_mib(ours)} {what} against {_mib(theirs)} ({_smaller(ours, theirs)})"
        for what, field in (
            ("on disk", "bytes_on_disk"),
            ("of packages", "installed_bytes"),
            ("of memory at its peak", "peak_memory_bytes"),
        )
        if (ours := getattr(best, field)) and (theirs := getattr(baseline, field))
    ]
    return f"It takes {_join(parts) if len(parts) != 2 else ', and '.join(parts)}."


def _accuracy(best: EngineReport, baseline: EngineReport) -> str | None:
    """Return what the variant costs on labelled data; None without such."""
    ours, theirs = best.labelled, baseline.labelled
    if ours is None or theirs is None:
        return None
    name, points = metric_name(ours.metric), (ours.value - theirs.value) * 100
    change = f"{'loses' if points < 0 else 'gains'} {abs(points):.2f} points of {name}"
    if abs(points) < 0.005:
        change = f"has the same {name}"
    elif not_significant(ours, theirs):
        change += f", not significant (n = {ours.rows:,})"
    figures = f"{ours.value:.4f} against {theirs.value:.4f} on {ours.rows:,} rows of {ours.data}"
    same = ""
    if ours.text_agreement is not None and ours.agreement is not None:
        # Most words are O, so that texts count too.
        same = f"; {ours.agreement:.2%} of words have the baseline's label, "
        same += f"{ours.text_agreement:.1%} of texts the same list of entities"
    elif ours.agreement is not None:
        same = f"; {ours.agreement:.1%} of labels are the baseline's"
    return f"{best.name} {change}: {figures}{same}."


def metric_name(metric: str) -> str:
    """Return the name of a metric for people."""
    return metric.replace("_", " ").replace(" f1", " F1")


def not_significant(ours: Labelled, theirs: Labelled) -> bool:
    """Return whether the rows are too few to show that two accuracies differ."""
    if ours.metric != "accuracy" or ours.agreement is None:
        return False
    # Only rows that the two label differently can move the difference (McNemar 1947).
    error = math.sqrt(max(1 - ours.agreement, 0.0) / ours.rows)
    return abs(ours.value - theirs.value) <= SURE * error


def _labels(report: Report, best: EngineReport) -> str | None:
    """Return how far labels or embeddings agree, and what export measured; None without such."""
    seen = best.on_texts or best.on_random_tokens
    if seen is None:
        return None
    where = "real texts" if best.on_texts else "random tokens"
    text = f"{best.name} agrees with the baseline on {seen.share:.1%} of {seen.labels:,} labels "
    text += f"of {where}"
    if seen.texts is not None:
        text += f"; {seen.texts:.1%} of texts have the same list of entities"
    if embeds(report):
        text = f"{best.name}'s embeddings of {seen.labels:,} {where} have a mean cosine of "
        text += f"{seen.share:.4f} with the baseline's"
    if best.at_export is None:
        return text + "."
    made = best.at_export
    return (
        f"{text}; export measured {made.metric.replace('_', ' ')} {made.variant:.4f} against "
        f"{made.checkpoint:.4f} on the {made.rows:,} rows of {made.data}."
    )


def _speedups(report: Report, engine: EngineReport) -> list[tuple[Result, Ratio]]:
    return [
        (result, result.speedup)
        for result in report.results
        if result.engine == engine.name and result.speedup is not None
    ]


def _times(result: Result, ratio: Ratio) -> str:
    digits = 2 if ratio.median < 10 else 1
    if ratio.low is None or ratio.high is None:
        return f"{ratio.median:.{digits}f} times as fast"
    if result.difference is Difference.NONE:
        return "no difference"
    spread = f"{ratio.low:.{digits}f} to {ratio.high:.{digits}f}"
    return f"{ratio.median:.{digits}f} times as fast ({spread})"


def _smaller(ours: int, theirs: int) -> str:
    if ours == theirs:
        return "the same"
    word = "smaller" if ours < theirs else "larger"
    return f"{max(ours, theirs) / min(ours, theirs):.1f} times {word}"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB" if size >= 10 * 2**20 else f"{size / 2**20:.2f} MiB"


def _join(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
