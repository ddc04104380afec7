"""The page: everything in one file that needs no network."""

import importlib.resources
import json
import re
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bertedge import serialization
from bertedge.bench import summary, tables
from bertedge.bench.html import charts
from bertedge.bench.html.charts import Key
from bertedge.bench.html.view import View, load_name, view_of
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import EngineReport, Report
from bertedge.bench.statistics import Difference
from bertedge.bench.wording import MIB, count, number

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
_TEMPLATES = Environment(
    loader=PackageLoader("bertedge.bench", "html"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One large figure at the top of the page."""

    figure: str
    what: str
    detail: str


def render_page(report: Report) -> str:
    """Return the whole HTML document; whatever the record says is escaped."""
    view, best = view_of(report), summary.best_variant(report)
    shades, main = view.shades(), summary.main_load(report)
    loads = [load for load in report.workloads if view.of(load.name)]
    return _TEMPLATES.get_template("page.html.j2").render(
        title=_title(report),
        where=_where(report),
        unreliable=unreliable(report),
        schemes=[
            (scheme, {name: shade[dark] for name, shade in shades.items()})
            for dark, scheme in enumerate(("light", "dark"))
        ],
        style=_file("style.css"),
        script=_file("script.js"),
        against=f"{best.name} against {best.baseline}" if best else "",
        tiles=tiles(view),
        summary=summary.summary(report),
        notes=summary.notes(report),
        broken=[engine for engine in report.engines if engine.problem],
        left_out=report.left_out,
        engines=[
            Key(color=f"e{look.number}", text=name, marker=look.marker)
            for name, look in view.looks.items()
        ],
        speedups=charts.speedups(view),
        distribution=charts.distribution(view, main),
        others=[charts.distribution(view, load) for load in loads if load is not main],
        pareto=charts.pareto(view),
        by_length=charts.by_length(view),
        by_batch=charts.by_batch(view),
        under_load=charts.under_load(view),
        operators=charts.operators(view),
        cold_start=charts.cold_start(view),
        on_disk=charts.sizes(view, "on-disk", "On disk", "bytes_on_disk"),
        installed=charts.sizes(view, "installed", "Installed packages", "installed_bytes"),
        peak_memory=charts.sizes(view, "peak-memory", "Peak memory", "peak_memory_bytes"),
        memory=charts.memory(view),
        engine_table=tables.engines(report),
        starts=tables.starts(report),
        latencies=tables.latencies(report),
        noise=tables.noise(report),
        facts=tables.facts(report),
        command=report.command or "not recorded",
        file=re.sub(r"[^\w.-]+", "-", f"bench-{report.comparison.bundle}.json"),
        record=_embedded(report),
    )


def tiles(view: View) -> list[Tile]:
    """Compare the bundle's best variant with its baseline; empty where nothing can be said."""
    best = summary.best_variant(view.report)
    if best is None:
        return []
    base = next(engine for engine in view.report.engines if engine.name == best.baseline)
    mark = " (not reliable)" if unreliable(view.report) else ""
    found = [_speed(view, best, base, mark)]
    if best.cold_start and base.cold_start:
        ours, theirs = best.cold_start.total_s, base.cold_start.total_s
        detail = f"first label after {ours:.2f} s against {theirs:.2f} s"
        found.append(_times(theirs / ours, f"faster cold start{mark}", detail))
    found.append(_smaller(best.bytes_on_disk, base.bytes_on_disk, "smaller on disk", ""))
    if best.peak_memory_bytes and base.peak_memory_bytes:
        ours_bytes, their_bytes = best.peak_memory_bytes, base.peak_memory_bytes
        found.append(_smaller(ours_bytes, their_bytes, "less memory", " at the peak"))
    found.append(_right(best, base, embeds=summary.embeds(view.report)))
    return [tile for tile in found if tile]


def _speed(view: View, best: EngineReport, base: EngineReport, mark: str) -> Tile | None:
    load = summary.main_load(view.report)
    ours = view.results.get((best.name, load.name)) if load else None
    theirs = view.results.get((base.name, load.name)) if load else None
    if load is None or ours is None or theirs is None or ours.speedup is None:
        return None
    ms = f"{number(ours.latency.p50_ms)} ms against {number(theirs.latency.p50_ms)} ms"
    detail, ratio = f"{ms}, {load_name(load)}", ours.speedup
    if ours.difference is Difference.NONE:
        return Tile(figure="no difference", what="in latency", detail=detail)
    if ratio.low is not None and ratio.high is not None:
        detail += f" ({ratio.low:.2f} to {ratio.high:.2f})"
    return _times(ratio.median, f"as fast{mark}", detail)


def _smaller(ours: int, theirs: int, what: str, where: str) -> Tile:
    detail = f"{number(ours / MIB)} MiB against {number(theirs / MIB)} MiB{where}"
    return _times(theirs / ours, what, detail)


def _right(best: EngineReport, base: EngineReport, *, embeds: bool) -> Tile | None:
    if best.labelled and base.labelled:
        ours, theirs = best.labelled, base.labelled
        points, lists = (ours.value - theirs.value) * 100, ours.text_agreement
        return Tile(
            figure=f"{points:+.2f}".replace("-", MINUS) if round(points, 2) else "±0",
            what=f"points of {summary.metric_name(ours.metric)}",
            detail=f"{ours.value:.4f} against {theirs.value:.4f} on {ours.rows:,} rows"
            + (", not significant" if summary.not_significant(ours, theirs) else "")
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
    detail = f"with the baseline's, {seen.labels:,} labels of {where}"
    return Tile(figure=f"{seen.share:.1%}", what="of labels agree", detail=detail)


def _times(ratio: float, what: str, detail: str) -> Tile:
    return Tile(figure=f"{ratio:.{2 if ratio < 2 else 1}f}{TIMES}", what=what, detail=detail)


def _title(report: Report) -> str:
    """Name the bundle and the engines: the best variant, its baseline, how many others."""
    best, names = summary.best_variant(report), [engine.name for engine in report.engines]
    if best is None:
        return f"{report.comparison.bundle}: {', '.join(names)}"
    others = len(names) - 2
    more = f" and {count(others, 'other engine')}" if others > 0 else ""
    return f"{report.comparison.bundle}: {best.name} against {best.baseline}{more}"


def _where(report: Report) -> str:
    where, what = report.environment, report.comparison
    return (
        f"checkpoint {what.baseline} · {where.cpu}, {count(where.cores, 'core')}, "
        f"{count(report.settings.threads, 'thread')} an engine · {where.created[:10]}"
    )


def _file(name: str) -> Markup:
    """Read one of our own files, which goes into the page as it is."""
    path = importlib.resources.files("bertedge.bench.html") / name
    return Markup(path.read_text(encoding="utf-8"))


def _embedded(report: Report) -> Markup:
    """Write the record for a script element, which must not hold what could end it."""
    text = json.dumps(serialization.to_plain(report), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
