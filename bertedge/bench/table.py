"""The report for people: a hundred columns, the machine above, plain sentences below."""

import textwrap
from collections.abc import Sequence

from bertedge.bench import sentences
from bertedge.bench.report import EngineReport, Load, Report, Result
from bertedge.bench.statistics import Ratio

WIDTH = 100
MIB = 2**20
BEST = " *"
_NAME, _NUMBER, _RATIO = 18, 9, 23


def render(report: Report) -> str:
    """Write the whole report, a newline at its end."""
    parts = [
        _head(report),
        *(_latencies(report, load) for load in report.workloads if load.repeats),
        _engines(report),
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
    facts = (
        ("bundle", f"{what.bundle} ({what.task}, {what.labels} labels)"),
        ("baseline", f"{what.baseline} ({what.parameters:,} parameters)"),
        ("machine", f"{where.cpu}, {sentences.count(where.cores, 'core')}, {flags}; "
                    f"{where.system}{load}"),
        ("versions", f"Python {where.python}, {versions}"),
        ("measured", f"{where.created}; {sentences.count(how.threads, 'thread')} an engine, "
                     f"{rounds}, one engine at a time, order rotated"),
    )  # fmt: skip
    return [line for name, fact in facts for line in _wrap(f"{name:9} {fact}", 10)]


def _latencies(report: Report, load: Load) -> list[str]:
    titles = "".join(f"{name:>{_NUMBER}}" for name in ("p50 ms", "p95", "p99", "mean", "texts/s"))
    lines = [
        sentences.describe(load),
        f"  {'':{_NAME}}{titles}  {'speed-up (95 %)':{_RATIO}}{'agree':>8}",
    ]
    results = {result.engine: result for result in report.results if result.workload == load.name}
    sound = [results[e.name] for e in report.engines if e.name in results and not e.problem]
    best = min(sound, key=lambda result: result.latency.p50_ms, default=None)
    for engine in report.engines:
        result = results.get(engine.name)
        name = f"  {_cut(engine.name + (BEST if result and result is best else '')):{_NAME}}"
        if result is None:
            lines.append(f"{name} {(engine.problem or 'not measured')[: WIDTH - len(name) - 1]}")
        else:
            lines.append(name + _latency(result, engine))
    return lines


def _latency(result: Result, engine: EngineReport) -> str:
    times = result.latency
    figures = (times.p50_ms, times.p95_ms, times.p99_ms, times.mean_ms, result.texts_per_second)
    numbers = "".join(f"{number(figure):>{_NUMBER}}" for figure in figures)
    if engine.baseline is None:
        return f"{numbers}  baseline"
    same = f"{result.agreement.share:.1%}" if result.agreement else "-"
    return f"{numbers}  {_ratio(result.speedup):{_RATIO}}{same:>8}"


def _engines(report: Report) -> list[str]:
    lines = [
        "engines: seconds from process start to first label, and their parts; peak memory; size",
        f"  {'':{_NAME}}{'start s':>9} ={'process':>9}{'imports':>9}{'load':>9}{'1st run':>9}"
        f"{'peak MiB':>13}{'disk MiB':>12}",
    ]
    for engine in report.engines:
        name = f"  {_cut(engine.name):{_NAME}}"
        start = engine.cold_start
        if start is None:
            lines.append(f"{name} {(engine.problem or 'not measured')[: WIDTH - len(name) - 1]}")
            continue
        parts = (start.process_s, start.imports_s, start.load_s, start.first_run_s)
        peak = "-" if engine.peak_memory_bytes is None else number(engine.peak_memory_bytes / MIB)
        lines.append(
            f"{name}{start.total_s:>9.2f}  " + "".join(f"{part:>9.2f}" for part in parts)
            + f"{peak:>13}{number(engine.bytes_on_disk / MIB):>12}"
        )  # fmt: skip
    return lines


def _problems(report: Report) -> list[str]:
    bad = [f"! {engine.name}: {engine.problem}" for engine in report.engines if engine.problem]
    out = [f"- {item.name} is left out: {item.why}" for item in report.left_out]
    return [line for item in bad + out for line in _wrap(item, 2)]


def number(value: float) -> str:
    """Write three figures or so: 0.912, 4.51, 37.6, 715, 12,345."""
    if value < 1:
        return f"{value:.3f}"
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.median:.2f}x"
    none = " none" if ratio.low <= 1 <= ratio.high else ""
    return f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f}){none}"


def _cut(name: str) -> str:
    return name if len(name) < _NAME else name[: _NAME - 2] + "…"


def _wrap(text: str, indent: int = 0) -> Sequence[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)
