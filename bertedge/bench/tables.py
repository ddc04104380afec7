"""The tables of a report: text, page and documents lay out the same cells."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bertedge.bench import summary
from bertedge.bench.reliability import other_cores
from bertedge.bench.report import Load, Report, Result, field_at
from bertedge.bench.statistics import Difference, Ratio
from bertedge.bench.wording import count, mib, number

SHARE, SECONDS = "{:.1%}".format, "{:.2f}".format
Columns = tuple[tuple[str, str, Callable[[Any], str]], ...]
"""Of each column the head, the field that it shows, and how the field is written."""
LATENCY: Columns = (
    ("p50 ms", "latency.p50_ms", number),
    *((name, f"latency.{name}_ms", number) for name in ("p90", "p95", "p99", "max", "mean")),
    ("texts/s", "texts_per_second", number),
)
STARTS: Columns = (
    ("start s", "cold_start.total_s", SECONDS),
    ("process", "cold_start.process_s", SECONDS),
    ("imports", "cold_start.imports_s", SECONDS),
    ("load", "cold_start.load_s", SECONDS),
    ("1st run", "cold_start.first_run_s", SECONDS),
)
TAKES: Columns = (
    ("agree", "agreement", SHARE),
    ("start s", "cold_start.total_s", SECONDS),
    ("peak MiB", "peak_memory_bytes", lambda size: mib(size, 0)),
    ("disk MiB", "bytes_on_disk", lambda size: mib(size, 1)),
)
ENGINE: Columns = (
    ("engine", "name", str),
    ("first label s", "cold_start.total_s", SECONDS),
    ("disk MiB", "bytes_on_disk", mib),
    ("installed MiB", "installed_bytes", mib),
    ("peak MiB", "peak_memory_bytes", mib),
    ("idle CPU", "idle_cpu", SHARE),
    ("J a text", "joules_per_text", number),
    ("", "labelled.value", "{:.4f}".format),
    ("labels agree", "agreement", SHARE),
    ("same entity lists", "text_agreement", SHARE),
    ("kind", "kind", str),
    ("precision", "precision", str),
    ("runs on", "runs_on", str),
    ("batches", "batching", str),
)
"""The column without a head is the metric's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row; the first cell names it."""

    cells: list[str]
    """"-" or "" where there is nothing to say."""
    strong: bool = False
    """True for what to find first: the bundle's variants, or the lowest median of a workload."""
    instead: str = ""
    """Why there are no cells but the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of text."""

    title: str
    head: list[str]
    rows: list[Row]
    note: str = ""


def overview(report: Report, cell: Callable[[Result, bool], str]) -> Table:
    """Return the one table of all engines; `cell` writes a result, given whether it is the best."""
    loads = [load for load in report.workloads if load.repeats]
    at = [(report.at(load.name), summary.fastest(report, load)) for load in loads]
    rows = []
    for engine in report.engines:
        pairs = [(results.get(engine.name), best) for results, best in at]
        cells = [cell(result, result is best) if result else "" for result, best in pairs]
        problem = None if any(cells) else engine.problem
        agree = [] if engine.agreement is None else _cells(engine, TAKES[:1])
        cells = [engine.name, *cells, *(agree or [""]), *_cells(engine, TAKES[1:])]
        rows.append(Row(cells=cells, strong=engine.kind == "bundle", instead=problem or ""))
    said = ["median in ms, speed-up over the baseline"] if loads else []
    said += ["labels that agree", "start to first label", "peak memory", "disk"]
    return Table(
        title="; ".join(said),
        head=["", *map(_column, loads), *(head for head, _, _ in TAKES)],
        rows=rows,
        note="* fastest   ~ no difference from the baseline beyond the noise" if loads else "",
    )


def latencies(report: Report) -> list[Table]:
    """Return a table of every workload that was measured, with percentiles and intervals."""
    head = ["engine", *(each for each, _, _ in LATENCY)]
    head += ["speed-up (95 %)", "differs", "agree", "warm-up"]
    tables = []
    for load in (load for load in report.workloads if load.repeats):
        results, best, rows = report.at(load.name), summary.fastest(report, load), []
        for engine in report.engines:
            if (result := results.get(engine.name)) is None:
                rows.append(Row(cells=[engine.name], instead=engine.problem or "not measured"))
                continue
            compared = ["baseline", "", ""]
            if engine.baseline is not None:
                same = f"{result.agreement.share:.1%}" if result.agreement else "-"
                compared = [_ratio(result.speedup), str(result.difference or "-"), same]
            warm_up = f"{result.warm_up_s:.1f} s" + ("" if result.settled else ", not stable")
            cells = [engine.name, *_cells(result, LATENCY), *compared, warm_up]
            rows.append(Row(cells=cells, strong=result is best))
        tables.append(Table(title=summary.describe(load), head=head, rows=rows))
    return tables


def starts(report: Report) -> Table:
    """Return the parts of every engine's cold start."""
    rows = [
        Row(cells=[engine.name, *_cells(engine, STARTS)])
        if engine.cold_start
        else Row(cells=[engine.name], instead=engine.problem or "not measured")
        for engine in report.engines
    ]
    title = "seconds from process start to first label, and their parts"
    return Table(title=title, head=["engine", *(head for head, _, _ in STARTS)], rows=rows)


def engines(report: Report) -> Table:
    """Return what each engine is, what it takes, and how right it is.

    What no engine has, such as energy where there is no counter, has no column.
    """
    kept = tuple(
        (head or summary.scored_by(report), path, write)
        for head, path, write in ENGINE
        if any(field_at(engine, path) not in (None, "") for engine in report.engines)
    )
    rows = [Row(cells=_cells(engine, kept)) for engine in report.engines]
    if agree := next((i for i, column in enumerate(kept) if column[1] == "agreement"), None):
        for row, engine in zip(rows, report.engines, strict=True):
            row.cells[agree] = "baseline" if engine.baseline is None else row.cells[agree]
    title = "engines: what they are and what they take"
    return Table(title=title, head=[head for head, _, _ in kept], rows=rows)


def noise(report: Report) -> Table:
    """Return the ratios of the baseline to a second process of itself."""
    rows = [
        Row(cells=[item.workload, item.engine, _ratio(item.ratio), f"±{item.floor:.1%}"])
        for item in report.noise
    ]
    head = ["workload", "engine", "against itself (95 %)", "no difference within"]
    return Table(title="noise", head=head, rows=rows)


def facts(report: Report) -> list[tuple[str, str]]:
    """Return what was compared, on what and how; the first five are enough to read a table."""
    where, what, how = report.environment, report.comparison, report.settings
    taken = other_cores(report)
    cores = count(where.cores, "core")
    cores += "" if where.host_cores in (None, where.cores) else f" of {where.host_cores}"
    flags = " ".join(where.cpu_flags) or "no int8 or bf16 instructions known"
    load = "" if where.load is None else f"; load before {where.load:.2f}"
    labels = f", {what.labels} labels" if what.task.fixed_labels is None else ""
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


def _cells(record: object, columns: Columns) -> list[str]:
    values = [(field_at(record, path), write) for _, path, write in columns]
    return ["-" if value in (None, "") else write(value) for value, write in values]


def _column(load: Load) -> str:
    if load.length is not None:
        return load.name
    return "one text" if load.texts == 1 else f"{load.texts} texts"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.median:.2f}x"
    return f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})"
