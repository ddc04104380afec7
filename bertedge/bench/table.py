"""The report for people: one table within a hundred columns, and what it comes to in words."""

import textwrap
from collections.abc import Sequence

from bertedge.bench import details as more
from bertedge.bench import sentences
from bertedge.bench.report import EngineReport, Load, Report, Result
from bertedge.bench.statistics import Difference
from bertedge.bench.wording import MIB, WIDTH, cut, number

_NAME, _CELL, _ABREAST = 18, 11, 5
"""Columns of a name, of a workload's cell, and how many of those fit beside each other."""


def render(report: Report, *, details: bool = False) -> str:
    """Write the whole report, a newline at its end."""
    parts = [
        _head(report),
        *_tables(report),
        *([more.latencies(report, load) for load in _measured(report)] if details else []),
        *([more.engines(report)] if details else []),
        _problems(report),
        [line for note in sentences.notes(report) for line in _wrap(note)],
        [line for sentence in sentences.summary(report) for line in _wrap(sentence)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _head(report: Report) -> list[str]:
    where, what, how = report.environment, report.comparison, report.settings
    versions = ", ".join(f"{name} {version}" for name, version in where.versions.items())
    flags = " ".join(where.cpu_flags) or "no int8 or bf16 instructions known"
    load = "" if where.load is None else f"; load before {where.load:.2f}"
    rounds = sentences.count(how.rounds, "round")
    labels = f", {what.labels} labels" if what.labels else ""
    facts = (
        ("bundle", f"{what.bundle} ({what.task}{labels})"),
        ("baseline", f"{what.baseline} ({what.parameters:,} parameters)"),
        ("machine", f"{where.cpu}, {sentences.count(where.cores, 'core')}, {flags}; "
                    f"{where.system}{load}"),
        ("versions", f"Python {where.python}, {versions}"),
        ("measured", f"{where.created}; {sentences.count(how.threads, 'thread')} an engine, "
                     f"{rounds}, one engine at a time, order rotated"),
    )  # fmt: skip
    return [line for name, fact in facts for line in _wrap(f"{name:9} {fact}", 10)]


def _measured(report: Report) -> list[Load]:
    return [load for load in report.workloads if load.repeats]


def _tables(report: Report) -> list[list[str]]:
    """Lay out the table; workloads beyond what fits abreast go into another one below."""
    loads = _measured(report)
    groups = [loads[i : i + _ABREAST] for i in range(0, len(loads), _ABREAST)] or [[]]
    return [_table(report, group, whole=i == 0) for i, group in enumerate(groups)]


def _table(report: Report, loads: Sequence[Load], *, whole: bool) -> list[str]:
    title = ["median in ms, speed-up over the baseline"] if loads else []
    if whole:
        title += ["labels that agree", "start to first label", "peak memory", "disk"]
    tops = "".join(f"{_column(load):>{_CELL - 1}} " for load in loads)
    ends = f"{'agree':>7}{'start s':>8}{'MiB':>6}{'MiB':>6}" if whole else ""
    lines = ["; ".join(title), f"{'':{_NAME}}{tops}{ends}".rstrip()]
    for engine in report.engines:
        name = f"{cut(engine.name, _NAME):{_NAME}}"
        cells = [_cell(report, engine, load) for load in loads]
        if engine.problem and not any(cell.strip() for cell in cells):
            lines.append(f"{name}{engine.problem}"[:WIDTH])
        else:
            lines.append(f"{name}{''.join(cells)}{_ends(engine) if whole else ''}".rstrip())
    if loads:
        lines.append("* fastest   ~ no difference from the baseline beyond the noise")
    return lines


def _cell(report: Report, engine: EngineReport, load: Load) -> str:
    result = next(
        (r for r in report.results if (r.engine, r.workload) == (engine.name, load.name)), None
    )
    if result is None:
        return " " * _CELL
    best = "*" if result is sentences.fastest(report, load) else " "
    return f"{_ms(result.latency.p50_ms):>6}{best}{_ratio(result):<{_CELL - 7}}"


def _ratio(result: Result) -> str:
    if result.speedup is None:
        return ""
    if result.difference is Difference.NONE:
        return "~"
    ratio = result.speedup.median
    return f"{ratio:.1f}x" if ratio < 9.95 else f"{ratio:.0f}x"


def _ends(engine: EngineReport) -> str:
    seen = sentences.agreement(engine)
    start, peak = engine.cold_start, engine.peak_memory_bytes
    cells = (
        f"{'' if seen is None else f'{seen:.1%}':>7}",
        f"{'-' if start is None else f'{start.total_s:.2f}':>8}",
        f"{'-' if peak is None else _ms(round(peak / MIB)):>6}",
        f"{_ms(round(engine.bytes_on_disk / MIB, 1)):>6}",
    )
    return "".join(cells)


def _column(load: Load) -> str:
    if load.length is not None:
        return load.name
    return "one text" if load.texts == 1 else f"{load.texts} texts"


def _ms(value: float) -> str:
    """Write a number in five columns."""
    return number(value) if value < 10_000 else f"{value / 1000:.0f}k"


def _problems(report: Report) -> list[str]:
    bad = [f"! {engine.name}: {engine.problem}" for engine in report.engines if engine.problem]
    out = [
        f"- {item.name} is left out: {item.why}{f' ({item.fix})' if item.fix else ''}"
        for item in report.left_out
    ]
    return [line for item in bad + out for line in _wrap(item, 2)]


def _wrap(text: str, indent: int = 0) -> Sequence[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)
