"""The page: everything in one file that needs no network."""

import importlib.resources
import json
import re
from html import escape
from string import Template

from bertedge import serialization
from bertedge.bench import sentences
from bertedge.bench.html import accuracy, canvas, cost, headline, load, speed, tables, theme
from bertedge.bench.html.view import Key, Panel, View, view_of
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import Report


def render_page(report: Report) -> str:
    """Write the whole HTML document."""
    view = view_of(report)
    what = report.comparison
    return Template(_file("page.html")).substitute(
        title=escape(_title(report)),
        style=theme.variables() + "\n" + _file("style.css"),
        script=_file("script.js"),
        where=escape(_where(report)),
        banner=_banner(report),
        tiles=_tiles(view),
        sentences=_paragraphs(sentences.summary(report)),
        notes=_notes(report),
        engines=_chips(view),
        speed=_panels(view, [speed.speedups(view), speed.main_distribution(view),
                             accuracy.pareto(view), speed.by_length(view), speed.by_batch(view),
                             load.under_load(view)]),
        others=_others(view),
        cost=_panels(view, [cost.operators(view), cost.cold_start(view), *cost.sizes(view),
                            cost.memory(view)]),
        latencies=tables.latencies(view),
        table=tables.engines(report),
        noise=tables.noise(report),
        left_out=tables.left_out(report),
        environment=tables.environment(report),
        command=escape(report.command or "not recorded"),
        file=escape(re.sub(r"[^\w.-]+", "-", f"bench-{what.bundle}.json")),
        data=_embedded(report),
    )  # fmt: skip


def _file(name: str) -> str:
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")


def _title(report: Report) -> str:
    """Name the bundle and the engines: the best variant, its baseline, how many others."""
    best, names = sentences.best_variant(report), [engine.name for engine in report.engines]
    if best is None:
        return f"{report.comparison.bundle}: {', '.join(names)}"
    others = len(names) - 2
    more = f" and {sentences.count(others, 'other engine')}" if others > 0 else ""
    return f"{report.comparison.bundle}: {best.name} against {best.baseline}{more}"


def _where(report: Report) -> str:
    where, what = report.environment, report.comparison
    return (
        f"checkpoint {what.baseline} · {where.cpu}, {sentences.count(where.cores, 'core')}, "
        f"{sentences.count(report.settings.threads, 'thread')} an engine · {where.created[:10]}"
    )


def _banner(report: Report) -> str:
    """Warn above everything where the times are not reliable."""
    why = unreliable(report)
    if why is None:
        return ""
    return (
        f'<p class="unreliable" role="alert"><strong>Not reliable:</strong> {escape(why)}. Times '
        "and speed-ups on this page are not to be trusted; measure again on a quiet machine "
        "(<code>--wait-idle</code>).</p>"
    )


def _tiles(view: View) -> str:
    found = headline.tiles(view)
    if not found:
        return ""
    best = sentences.best_variant(view.report)
    assert best
    cells = "".join(
        f"<li><b>{escape(tile.figure)}</b> <span>{escape(tile.what)}</span>"
        f"<small>{escape(tile.detail)}</small></li>"
        for tile in found
    )
    against = f"{escape(best.name)} against {escape(best.baseline or '')}"
    return f'<p class="against">{against}</p><ul class="tiles">{cells}</ul>'


def _paragraphs(lines: list[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _notes(report: Report) -> str:
    broken = [f"{e.name}: {e.problem}" for e in report.engines if e.problem]
    lines = [
        *(f"<li class=bad>{escape(line)}</li>" for line in broken),
        *(f"<li>{escape(line)}</li>" for line in sentences.notes(report)),
    ]
    return f'<ul class="notes">{"".join(lines)}</ul>' if lines else ""


def _chips(view: View) -> str:
    """The legend of all figures: one button an engine, which points it out."""
    chips = []
    for i, engine in enumerate(view.report.engines):
        color = f"var(--{view.looks[engine.name].color})"
        swatch = canvas.for_page(canvas.swatch(view.looks[engine.name]), f"key-{i}", ())
        chips.append(
            f'<button type="button" data-pick="{i}" aria-pressed="false" style="--c:{color}">'
            f"{swatch}{escape(engine.name)}</button>"
        )
    return "".join(chips)


def _panels(view: View, panels: list[Panel]) -> str:
    return "".join(_panel(view, panel) for panel in panels)


def _panel(view: View, panel: Panel) -> str:
    if panel.svg is None:
        return (
            f'<figure class="missing" id="{panel.name}"><h3>{escape(panel.title)}</h3>'
            f"<p>{escape(panel.missing)}</p></figure>"
        )
    engines = [engine.name for engine in view.report.engines]
    legend = "".join(
        f"<li>{_swatch(key, f'{panel.name}-key-{i}')}{escape(key.text)}</li>"
        for i, key in enumerate(panel.legend)
    )
    return (
        f'<figure id="{panel.name}"><h3>{escape(panel.title)}</h3>'
        + (f'<ul class="legend">{legend}</ul>' if legend else "")
        + canvas.for_page(panel.svg, panel.name, engines)
        + f"<figcaption>{escape(panel.caption)}</figcaption></figure>"
    )


def _swatch(key: Key, name: str) -> str:
    if key.look is None:
        return f'<i style="background:var(--{key.color})"></i>'
    return canvas.for_page(canvas.swatch(key.look), name, ())


def _others(view: View) -> str:
    panels = speed.other_distributions(view)
    if not panels:
        return ""
    return (
        f"<details><summary>Distributions of the other {len(panels)} workloads</summary>"
        f'<div class="figures">{_panels(view, panels)}</div></details>'
    )


def _embedded(report: Report) -> str:
    """Write the record for a script element, which must not hold what could end it."""
    text = json.dumps(serialization.to_plain(report), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")
