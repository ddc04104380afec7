"""The tables of a report: text, page and documents lay out the same cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bertedge.bench import summary
from bertedge.bench.reliability import other_cores
from bertedge.bench.report import EngineReport, Load, Report, Result
from bertedge.bench.statistics import Difference, Ratio
from bertedge.bench.wording import MIB, count, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row; the first cell names it."""

    cells: tuple[str, ...]
    """"-" or "" where there is nothing to say."""
    strong: bool = False
    """True for what to find first: the bundle's variants, or the lowest median of a workload."""
    instead: str = ""
    """Why there are no cells but the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of text."""

    title: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""


def overview(report: Report, cell: Callable[[Result, bool], str]) -> Table:
    """Return the one table of all engines; `cell` writes a result, given whether it is the best."""
    loads = [load for load in report.workloads if load.repeats]
    results = {(result.engine, result.workload): result for result in report.results}
    best = [summary.fastest(report, load) for load in loads]
    rows = []
    for engine in report.engines:
        found = [results.get((engine.name, load.name)) for load in loads]
        cells = [
            cell(result, result is first) if result else ""
            for result, first in zip(found, best, strict=True)
        ]
        measured = engine.problem is None or any(found)
        rows.append(
            Row(
                cells=(engine.name, *cells, *_takes(engine)),
                strong=engine.kind == "bundle",
                instead="" if measured else engine.problem or "",
            )
        )
    said = ["median in ms, speed-up over the baseline"] if loads else []
    said += ["labels that agree", "start to first label", "peak memory", "disk"]
    return Table(
        title="; ".join(said),
        head=("", *map(_column, loads), "agree", "start s", "peak MiB", "disk MiB"),
        rows=tuple(rows),
        note="* fastest   ~ no difference from the baseline beyond the noise" if loads else "",
    )


def latencies(report: Report) -> list[Table]:
    """Return a table of every workload that was measured, with percentiles and intervals."""
    return [_latencies(report, load) for load in report.workloads if load.repeats]


def starts(report: Report) -> Table:
    """Return the parts of every engine's cold start."""
    rows = []
    for engine in report.engines:
        start = engine.cold_start
        if start is None:
            rows.append(Row(cells=(engine.name,), instead=engine.problem or "not measured"))
            continue
        parts = (start.total_s, start.process_s, start.imports_s, start.load_s, start.first_run_s)
        rows.append(Row(cells=(engine.name, *(f"{part:.2f}" for part in parts))))
    return Table(
        title="seconds from process start to first label, and their parts",
        head=("engine", "start s", "process", "imports", "load", "1st run"),
        rows=tuple(rows),
    )


def engines(report: Report) -> Table:
    """Return what each engine is, what it takes, and how right it is.

    What no engine has, such as energy where there is no counter, has no column.
    """
    metric = next((e.labelled.metric for e in report.engines if e.labelled), None)
    head = (
        *("engine", "first label s", "disk MiB", "installed MiB", "peak MiB", "idle CPU"),
        *("J a text", summary.metric_name(metric) if metric else "", "labels agree"),
        *("same entity lists", "kind", "precision", "runs on", "batches"),
    )
    rows = [_engine(engine) for engine in report.engines]
    kept = [i for i in range(len(head)) if i == 0 or any(row[i] != "-" for row in rows)]
    return Table(
        title="engines: what they are and what they take",
        head=tuple(head[i] for i in kept),
        rows=tuple(Row(cells=tuple(row[i] for i in kept)) for row in rows),
    )


def noise(report: Report) -> Table:
    """Return the ratios of the baseline to a second process of itself."""
    return Table(
        title="noise",
        head=("workload", "engine", "against itself (95 %)", "no difference within"),
        rows=tuple(
            Row(cells=(item.workload, item.engine, _ratio(item.ratio), f"±{item.floor:.1%}"))
            for item in report.noise
        ),
    )


def facts(report: Report) -> list[tuple[str, str]]:
    """Return what was compared, on what and how; the first five are enough to read a table."""
    where, what, how = report.environment, report.comparison, report.settings
    taken = other_cores(report)
    cores = count(where.cores, "core")
    cores += "" if where.host_cores in (None, where.cores) else f" of {where.host_cores}"
    flags = " ".join(where.cpu_flags) or "no int8 or bf16 instructions known"
    load = "" if where.load is None else f"; load before {where.load:.2f}"
    labels = f", {what.labels} labels" if what.labels else ""
    versions = ", ".join(f"{name} {version}" for name, version in where.versions.items())
    found = (
        ("bundle", f"{what.bundle} ({what.task}{labels}, {what.max_length} tokens at most)"),
        ("baseline", f"{what.baseline} ({what.parameters:,} parameters)"),
        ("machine", f"{where.cpu}, {cores}, {flags}; {where.system}{load}"),
        ("versions", f"Python {where.python}, {versions}"),
        ("measured", f"{where.created}; {count(how.threads, 'thread')} an engine, "
                     f"{count(how.rounds, 'round')}, one engine at a time, order rotated"),
        ("texts", what.data),
        ("runs", f"at most {how.repeats} a turn, {how.starts} cold starts, seed {how.seed}; "
                 f"{report.seconds:.0f} s in all"),
        ("governor", where.governor or "not readable"),
        ("memory", f"{where.memory_bytes / 2**30:.1f} GiB" if where.memory_bytes else None),
        ("other processes", None if taken is None else f"{taken:.2f} cores during the rounds"),
        ("bertedge commit", where.git_commit),
        ("thread settings", ", ".join(f"{k}={v}" for k, v in report.thread_settings.items())),
    )  # fmt: skip
    return [(name, fact) for name, fact in found if fact]


def _latencies(report: Report, load: Load) -> Table:
    results = {result.engine: result for result in report.results if result.workload == load.name}
    best = summary.fastest(report, load)
    rows = []
    for engine in report.engines:
        result = results.get(engine.name)
        if result is None:
            rows.append(Row(cells=(engine.name,), instead=engine.problem or "not measured"))
            continue
        times = result.latency
        ms = (times.p50_ms, times.p90_ms, times.p95_ms, times.p99_ms, times.max_ms, times.mean_ms)
        compared = ("baseline", "", "")
        if engine.baseline is not None:
            same = f"{result.agreement.share:.1%}" if result.agreement else "-"
            compared = (_ratio(result.speedup), str(result.difference or "-"), same)
        warm_up = f"{result.warm_up_s:.1f} s" + ("" if result.settled else ", not stable")
        cells = (*map(number, (*ms, result.texts_per_second)), *compared, warm_up)
        rows.append(Row(cells=(engine.name, *cells), strong=result is best))
    return Table(
        title=summary.describe(load),
        head=(
            *("engine", "p50 ms", "p90", "p95", "p99", "max", "mean", "texts/s"),
            *("speed-up (95 %)", "differs", "agree", "warm-up"),
        ),
        rows=tuple(rows),
    )


def _engine(engine: EngineReport) -> tuple[str, ...]:
    seen, lists = summary.agreement(engine), summary.text_agreement(engine)
    right, start = engine.labelled, engine.cold_start
    return (
        engine.name,
        f"{start.total_s:.2f}" if start else "-",
        number(engine.bytes_on_disk / MIB),
        _mib(engine.installed_bytes),
        _mib(engine.peak_memory_bytes),
        "-" if engine.idle_cpu is None else f"{engine.idle_cpu:.1%}",
        "-" if engine.joules_per_text is None else number(engine.joules_per_text),
        f"{right.value:.4f}" if right else "-",
        "baseline" if engine.baseline is None else "-" if seen is None else f"{seen:.1%}",
        "-" if lists is None else f"{lists:.1%}",
        engine.kind,
        engine.precision,
        engine.runs_on or "-",
        engine.batching or "-",
    )


def _takes(engine: EngineReport) -> Sequence[str]:
    seen, start, peak = summary.agreement(engine), engine.cold_start, engine.peak_memory_bytes
    return (
        "" if seen is None else f"{seen:.1%}",
        "-" if start is None else f"{start.total_s:.2f}",
        "-" if peak is None else number(round(peak / MIB)),
        number(round(engine.bytes_on_disk / MIB, 1)),
    )


def _column(load: Load) -> str:
    if load.length is not None:
        return load.name
    return "one text" if load.texts == 1 else f"{load.texts} texts"


def short_cell(result: Result, best: bool) -> str:
    """Write a median in ms, whether it is the best, and the speed-up: `0.591*10.9x`."""
    mark, ratio = "*" if best else " ", result.speedup
    if ratio is None:
        said = ""
    elif result.difference is Difference.NONE:
        said = "~"
    else:
        said = f"{ratio.median:.1f}x" if ratio.median < 99.95 else f"{ratio.median:.0f}x"
    return f"{number(result.latency.p50_ms)}{mark}{said:<5}"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.median:.2f}x"
    return f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})"


def _mib(size: int | None) -> str:
    return "-" if size is None else number(size / MIB)
