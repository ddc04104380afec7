"""What a report comes to, in plain words."""

import statistics

from bertedge.bench.report import EngineReport, Load, Report, Result
from bertedge.bench.statistics import Ratio

BUSY = 0.6
"""Processes that want to run, for each core, from which other work must have disturbed."""


def describe(load: Load) -> str:
    """Head a workload's table."""
    runs = f"{count(load.repeats, 'run')} a round"
    if load.length is not None:
        return f"{load.name}: {count(load.texts, 'row')} of {load.length} tokens, {runs}"
    if load.texts == 1:
        return f"{load.name}: tokenizer and decoding included, {runs}"
    return f"{load.name}: a run labels all {load.texts}, in batches sorted by length, {runs}"


def summary(report: Report) -> list[str]:
    """Say how much faster, how much smaller, and how alike; nothing where nothing can be said."""
    best = best_variant(report)
    if best is None:
        return []
    baseline = next(engine for engine in report.engines if engine.name == best.baseline)
    return [
        _speed(report, best, baseline),
        _size(best, baseline),
        *([_labels(best)] if best.on_texts or best.on_random_tokens else []),
    ]


def best_variant(report: Report) -> EngineReport | None:
    """Choose the bundle's variant with the highest mean speed-up, of those without a problem."""
    scored = {
        engine.name: statistics.geometric_mean(ratios)
        for engine in report.engines
        if engine.kind == "bundle" and not engine.problem
        if (ratios := [ratio.median for _, ratio in _speedups(report, engine)])
    }
    best = max(scored, key=lambda name: scored[name], default=None)
    return next((engine for engine in report.engines if engine.name == best), None)


def notes(report: Report) -> list[str]:
    """Say what must be known to read the figures rightly."""
    said = []
    if not report.complete:
        said.append("Interrupted: the figures cover the rounds that were finished.")
    if any(load.length is None for load in report.workloads):
        said.append(
            "On real texts PyTorch works the bundle's way, with the same tokenizer library and the "
            "same batches sorted by length; transformers' own pipeline has neither."
        )
    else:
        said.append(
            "Labels are compared on random tokens, which tells whether engines compute alike, not "
            "what it costs in accuracy; add --data FILE for real texts."
        )
    where = report.environment
    if where.load is not None and where.load > BUSY * where.cores:
        said.append(
            f"The machine was busy before (load {where.load:.2f} on {count(where.cores, 'core')}): "
            "the figures are disturbed; measure again when it is idle."
        )
    unsettled = sorted({result.engine for result in report.results if not result.settled})
    if unsettled:
        said.append(
            f"Times of {', '.join(unsettled)} had not settled when warm-up ended: expect a spread."
        )
    if not report.comparison.same_source:
        said.append("The bundle was made from another checkpoint than this baseline.")
    return said


def _speed(report: Report, best: EngineReport, baseline: EngineReport) -> str:
    parts = [f"{_times(ratio)} on {result.workload}" for result, ratio in _speedups(report, best)]
    text = f"{best.name} against {baseline.name}: {_join(parts)}"
    if best.cold_start and baseline.cold_start:
        text += (
            f"; it gives its first label after {best.cold_start.total_s:.2f} s, "
            f"{baseline.name} after {baseline.cold_start.total_s:.2f} s"
        )
    return text + "."


def _size(best: EngineReport, baseline: EngineReport) -> str:
    disk = f"It takes {_mib(best.bytes_on_disk)} on disk against {_mib(baseline.bytes_on_disk)} "
    disk += f"({_smaller(best.bytes_on_disk, baseline.bytes_on_disk)})"
    if best.peak_memory_bytes is None or baseline.peak_memory_bytes is None:
        return disk + "."
    return (
        f"{disk}, and {_mib(best.peak_memory_bytes)} of memory at its peak against "
        f"{_mib(baseline.peak_memory_bytes)} "
        f"({_smaller(best.peak_memory_bytes, baseline.peak_memory_bytes)})."
    )


def _labels(best: EngineReport) -> str:
    where = "real texts" if best.on_texts else "random tokens"
    seen = best.on_texts or best.on_random_tokens
    assert seen is not None
    text = f"{best.name} agrees with the baseline on {seen.share:.1%} of {seen.labels:,} labels "
    text += f"of {where}"
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


def _times(ratio: Ratio) -> str:
    digits = 2 if ratio.median < 10 else 1
    if ratio.low is None or ratio.high is None:
        return f"{ratio.median:.{digits}f} times as fast"
    if ratio.low <= 1 <= ratio.high:
        return "no difference"
    spread = f"{ratio.low:.{digits}f} to {ratio.high:.{digits}f}"
    return f"{ratio.median:.{digits}f} times as fast ({spread})"


def _smaller(ours: int, theirs: int) -> str:
    return (
        f"{theirs / ours:.1f} times smaller"
        if ours < theirs
        else f"{ours / theirs:.1f} times larger"
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB" if size >= 10 * 2**20 else f"{size / 2**20:.2f} MiB"


def _join(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def count(number: int, what: str) -> str:
    """Write "1 round", "10 rounds"."""
    return f"{number} {what}" + ("" if number == 1 else "s")
