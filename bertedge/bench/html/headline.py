"""What the page says first: the bundle's best variant in five figures."""

from dataclasses import dataclass

from bertedge.bench import sentences
from bertedge.bench.html.view import MIB, View, accuracy_name, load_name
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import EngineReport, Report
from bertedge.bench.statistics import Difference
from bertedge.bench.wording import number

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One large figure."""

    figure: str
    what: str
    detail: str


def tiles(view: View) -> list[Tile]:
    """Compare the best variant with its baseline; empty where nothing can be said."""
    best = sentences.best_variant(view.report)
    if best is None:
        return []
    baseline = next(engine for engine in view.report.engines if engine.name == best.baseline)
    made = (_speed(view, best, baseline), _start(view, best, baseline), _disk(best, baseline))
    right = _right(best, baseline, embeds=sentences.embeds(view.report))
    return [tile for tile in (*made, _memory(best, baseline), right) if tile]


def _speed(view: View, best: EngineReport, baseline: EngineReport) -> Tile | None:
    load = sentences.main_load(view.report)
    ours = view.results.get((best.name, load.name)) if load else None
    theirs = view.results.get((baseline.name, load.name)) if load else None
    if load is None or ours is None or theirs is None or ours.speedup is None:
        return None
    detail = (
        f"{number(ours.latency.p50_ms)} ms against {number(theirs.latency.p50_ms)} ms, "
        f"{load_name(load)}"
    )
    ratio = ours.speedup
    if ours.difference is Difference.NONE:
        return Tile(figure="no difference", what="in latency", detail=detail)
    if ratio.low is not None and ratio.high is not None:
        detail += f" ({ratio.low:.2f} to {ratio.high:.2f})"
    return _times(ratio.median, "as fast" + _mark(view.report), detail)


def _mark(report: Report) -> str:
    """Mark a figure of time that must not be believed."""
    return " (not reliable)" if unreliable(report) else ""


def _start(view: View, best: EngineReport, baseline: EngineReport) -> Tile | None:
    if best.cold_start is None or baseline.cold_start is None:
        return None
    ours, theirs = best.cold_start.total_s, baseline.cold_start.total_s
    return _times(
        theirs / ours,
        "faster cold start" + _mark(view.report),
        f"first label after {ours:.2f} s against {theirs:.2f} s",
    )


def _disk(best: EngineReport, baseline: EngineReport) -> Tile:
    ours, theirs = best.bytes_on_disk, baseline.bytes_on_disk
    detail = f"{number(ours / MIB)} MiB against {number(theirs / MIB)} MiB"
    return _times(theirs / ours, "smaller on disk", detail)


def _memory(best: EngineReport, baseline: EngineReport) -> Tile | None:
    ours, theirs = best.peak_memory_bytes, baseline.peak_memory_bytes
    if not ours or not theirs:
        return None
    detail = f"{number(ours / MIB)} MiB against {number(theirs / MIB)} MiB at the peak"
    return _times(theirs / ours, "less memory", detail)


def _right(best: EngineReport, baseline: EngineReport, *, embeds: bool) -> Tile | None:
    if best.labelled and baseline.labelled:
        ours, theirs = best.labelled, baseline.labelled
        points, lists = (ours.value - theirs.value) * 100, ours.text_agreement
        return Tile(
            figure=f"{points:+.2f}".replace("-", MINUS) if round(points, 2) else "±0",
            what=f"points of {accuracy_name(ours.metric)}",
            detail=f"{ours.value:.4f} against {theirs.value:.4f} on {ours.rows:,} rows"
            + (", not significant" if sentences.not_significant(ours, theirs) else "")
            + ("" if ours.agreement is None else f"; {ours.agreement:.1%} of labels agree")
            + ("" if lists is None else f", {lists:.1%} of entity lists"),
        )
    seen = best.on_texts or best.on_random_tokens
    if seen is None:
        return None
    where = "real texts" if best.on_texts else "random tokens"
    if embeds:
        detail = f"with the baseline's, of {seen.labels:,} {where}"
        return Tile(figure=f"{seen.share:.4f}", what="mean cosine", detail=detail)
    return Tile(
        figure=f"{seen.share:.1%}",
        what="of labels agree",
        detail=f"with the baseline's, {seen.labels:,} labels of {where}",
    )


def _times(ratio: float, what: str, detail: str) -> Tile:
    digits = 2 if ratio < 2 else 1
    return Tile(figure=f"{ratio:.{digits}f}{TIMES}", what=what, detail=detail)
