"""Percentiles and intervals by workload, cold starts in their parts: what the one table leaves."""

from bertedge.bench import sentences
from bertedge.bench.report import EngineReport, Load, Report, Result
from bertedge.bench.statistics import Difference
from bertedge.bench.wording import MIB, WIDTH, cut, number

_NAME, _NUMBER, _RATIO = 18, 9, 23
_BEST = " *"


def latencies(report: Report, load: Load) -> list[str]:
    """Lay out one workload's table."""
    titles = "".join(f"{name:>{_NUMBER}}" for name in ("p50 ms", "p95", "p99", "mean", "texts/s"))
    lines = [
        sentences.describe(load),
        f"  {'':{_NAME}}{titles}  {'speed-up (95 %)':{_RATIO}}{'agree':>8}",
    ]
    results = {result.engine: result for result in report.results if result.workload == load.name}
    best = sentences.fastest(report, load)
    for engine in report.engines:
        result = results.get(engine.name)
        mark = _BEST if result and result is best else ""
        name = f"  {cut(engine.name + mark, _NAME):{_NAME}}"
        if result is None:
            lines.append(f"{name} {(engine.problem or 'not measured')[: WIDTH - len(name) - 1]}")
        else:
            lines.append(name + _latency(result, engine))
    return lines


def engines(report: Report) -> list[str]:
    """Lay out cold starts, memory and size."""
    lines = [
        "engines: seconds from process start to first label, and their parts; peak memory; size",
        f"  {'':{_NAME}}{'start s':>9} ={'process':>9}{'imports':>9}{'load':>9}{'1st run':>9}"
        f"{'peak MiB':>11}{'disk MiB':>10}{'installed':>11}",
    ]
    for engine in report.engines:
        name = f"  {cut(engine.name, _NAME):{_NAME}}"
        start = engine.cold_start
        if start is None:
            lines.append(f"{name} {(engine.problem or 'not measured')[: WIDTH - len(name) - 1]}")
            continue
        parts = (start.process_s, start.imports_s, start.load_s, start.first_run_s)
        lines.append(
            f"{name}{start.total_s:>9.2f}  " + "".join(f"{part:>9.2f}" for part in parts)
            + f"{_size(engine.peak_memory_bytes):>11}{_size(engine.bytes_on_disk):>10}"
            + f"{_size(engine.installed_bytes):>11}"
        )  # fmt: skip
    return lines


def _latency(result: Result, engine: EngineReport) -> str:
    times = result.latency
    figures = (times.p50_ms, times.p95_ms, times.p99_ms, times.mean_ms, result.texts_per_second)
    numbers = "".join(f"{number(figure):>{_NUMBER}}" for figure in figures)
    if engine.baseline is None:
        return f"{numbers}  baseline"
    same = f"{result.agreement.share:.1%}" if result.agreement else "-"
    return f"{numbers}  {_ratio(result):{_RATIO}}{same:>8}"


def _ratio(result: Result) -> str:
    ratio = result.speedup
    if ratio is None:
        return "-"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.median:.2f}x"
    none = " none" if result.difference is Difference.NONE else ""
    return f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f}){none}"


def _size(size: int | None) -> str:
    return "-" if size is None else number(size / MIB)
