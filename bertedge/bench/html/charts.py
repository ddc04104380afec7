"""The figures of a report; what they say in words stands in page.html.j2."""

import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bertedge.bench import summary
from bertedge.bench.html.drawing import (
    BOTTOM,
    COLOR,
    EDGE,
    FONT,
    PITCH,
    ROOM,
    WIDTH,
    Bar,
    Row,
    bars,
    draw,
    layer,
    linear,
    lines,
    log,
    named_ends,
    points,
)  # fmt: skip
from bertedge.bench.html.view import View, load_name, view_of
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import EngineReport, Load, Report, Result
from bertedge.bench.statistics import CONFIDENCE, RESAMPLES, Difference, share_interval
from bertedge.bench.wording import MIB, count, number

GAP, HEADING = 36.0, 34.0
"""Between the panels of a picture, and above the bars of one."""
STEPS = 120
"""Points of a distribution's curve: so many fill the width."""
SYSTEM = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', Helvetica, Arial, sans-serif"
PARTS = (*(f"part-{i}" for i in range(1, 8)), "other")
STARTS = (
    ("process_s", "interpreter and the rest", "other"),
    ("imports_s", "imports", "part-5"),
    ("load_s", "model and session", "part-1"),
    ("first_run_s", "first run", "part-2"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One entry of a figure's own legend."""

    color: str
    """The name of a CSS variable."""
    text: str
    marker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure."""

    name: str
    """For ids and links."""
    title: str
    svg: str | None
    """None where there is nothing to draw."""
    note: str = ""
    """What its caption says of this report alone."""
    spoken: str = ""
    """For screen readers, beside the title."""
    legend: tuple[Key, ...] = ()


def speedups(view: View) -> Figure:
    """Draw the ratios to the baseline at every workload, beside the machine's noise."""
    loads = [
        load for load in view.report.workloads if any(r.speedup for _, _, r in view.of(load.name))
    ]
    names = [engine.name for engine in view.report.engines if engine.baseline is not None]
    floors = {noise.workload: noise.floor for noise in view.report.noise}
    slots = max(len(names), 3) + 3  # the workload's name takes three
    rows: list[Row] = []
    heads: list[Row] = []
    for top, load in zip(range(0, slots * len(loads), slots), loads, strict=True):
        floor, end = floors.get(load.name, 0.0), top + slots - 0.2
        band = {"low": 1 - floor, "high": 1 + floor, "top": top + 2, "end": end, "one": 1}
        heads.append({"y": top + 1, "text": load_name(load), **band})
        for engine, _, result in view.of(load.name):
            if (ratio := result.speedup) is not None and engine.baseline is not None:
                ends = {"low": ratio.low or ratio.median, "high": ratio.high or ratio.median}
                said = f"{ratio.median:.2f}x, {load_name(load)}"
                place = {"y": top + 2.6 + names.index(engine.name), "ratio": ratio.median, **ends}
                rows.append(_row(view, engine, said) | place)
    svg = None
    if rows:
        least, most = min(row["low"] for row in rows), max(row["high"] for row in rows)
        x = log("ratio", "times as fast as the baseline", min(least, 1) * 0.93, max(most, 1) * 1.12)
        x["axis"] |= {"grid": True, "domain": False}
        y = linear("y", "", slots * len(loads), 0) | {"axis": None}
        span = {"y": y | {"field": "top"}, "y2": {"field": "end"}}
        across = {"x": x | {"field": "low"}, "x2": {"field": "high"}}
        text = {"x": {"value": 0}, "y": y, "text": {"field": "text"}}
        layers = [
            layer("rect", across | span, heads, color="var(--band)", opacity=0.75),
            layer("rule", {"x": x | {"field": "one"}, **span}, heads, color="var(--muted)"),
            layer("text", text, heads, align="left", fontSize=12),
            layer("rule", {**across, "y": y, "color": COLOR}, strokeWidth=1.6),
            points(x, y),
        ]
        svg = draw(layers, rows, height=8.0 * slots * len(loads), left=EDGE, top=4)
    note = ", the grey band is what the baseline differs from itself" if floors else ""
    title = "Speed-up over the baseline"
    return Figure(name="speedups", title=title, svg=svg, note=note, legend=_keys(view))


def distribution(view: View, load: Load | None) -> Figure:
    """Draw every timed run at one workload as an empirical distribution."""
    if load is None:
        return Figure(name="distribution", title="Distribution", svg=None)
    rows: list[Row] = []
    for engine, look, result in sorted(view.of(load.name), key=lambda item: item[1].chosen):
        times = np.sort(np.concatenate([np.asarray(turn) for turn in result.rounds_ms]))
        kept = np.unique(np.linspace(0, times.size - 1, min(times.size, STEPS)).astype(int))
        same = _row(view, engine, "", crowded=True) | {"width": 2.4 if look.chosen else 1}
        shares = [0.0, *((kept + 1) * 100 / times.size)]
        for ms, share in zip([times[0], *times[kept]], shares, strict=True):
            rows.append(same | {"ms": float(ms), "share": float(share)})
    svg = None
    if rows:
        ends = [row["ms"] for row in rows]
        x = log("ms", "took no longer than, ms", min(ends) * 0.9, max(ends) * 1.1)
        y = linear("share", "share of runs, %", 0, 101, values=[0, 25, 50, 75, 95])
        svg = draw([lines(x, y, interpolate="step-after")], rows)
    name = "distribution-" + "".join(c if c.isalnum() else "-" for c in load.name)
    title = f"Distribution: {load_name(load)}"
    return Figure(name=name, title=title, svg=svg, legend=_chosen_keys(view))


def pareto(view: View) -> Figure:
    """Draw accuracy, or else agreement, against latency, and the engines that no other beats."""
    load = summary.main_load(view.report)
    metric = next((e.labelled.metric for e in view.report.engines if e.labelled), None)
    what = summary.metric_name(metric) if metric else "labels equal to the baseline's"
    rows: list[Row] = []
    for engine, _, result in view.of(load.name) if load else []:
        if (found := (_labelled if metric else _agreement)(engine)) is not None:
            value, low, high = (100 * each for each in found)
            ms = result.latency.p50_ms
            place = {"ms": ms, "value": value, "low": low, "high": high}
            rows.append(_row(view, engine, f"{value:.2f} %, {number(ms)} ms") | place)
    svg = None
    if len(rows) > 1:
        best: list[Row] = []
        for row in sorted(rows, key=lambda row: (row["ms"], -row["value"])):
            if not best or row["value"] > best[-1]["value"]:
                best.append({"ms": row["ms"], "value": row["value"]})
        times = [row["ms"] for row in rows]
        ends = [row[end] for row in rows for end in ("low", "high")]
        room = max((max(ends) - min(ends)) * 0.1, 0.15)
        x = log("ms", "median latency, ms", min(times) * 0.75, max(times) * 1.35)
        y = linear("value", f"{what}, %", min(ends) - room, max(ends) + room, tickCount=5)
        bar = {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": COLOR}
        step = {"interpolate": "step-after", "color": "var(--band)", "aria": False}
        layers = [
            layer("line", {"x": x, "y": y}, best, **step),
            layer("rule", bar, opacity=0.6),
            points(x, y),
        ]
        svg = draw(layers, rows)
    title, note = f"{what[0].upper()}{what[1:]} against latency", load_name(load) if load else ""
    return Figure(name="pareto", title=title, svg=svg, note=note, legend=_keys(view))


def by_length(view: View) -> Figure:
    """Draw the latency of one batch size at several lengths."""
    loads = [load for load in view.report.workloads if load.length is not None]
    batch = _most(load.batch for load in loads)
    places = {load.name: float(load.length or 0) for load in loads if load.batch == batch}
    svg, note = _curves(view, places, "tokens in a row"), count(batch or 0, "row")
    return Figure(name="by-length", title="Latency by length", svg=svg, note=note)


def by_batch(view: View) -> Figure:
    """Draw the latency of one length at several batch sizes."""
    loads = [load for load in view.report.workloads if load.length is not None]
    length = _most(load.length for load in loads)
    places = {load.name: float(load.batch or 0) for load in loads if load.length == length}
    svg, note = _curves(view, places, "rows in a batch"), f"{length} tokens"
    return Figure(name="by-batch", title="Latency by batch", svg=svg, note=note)


def under_load(view: View) -> Figure:
    """Draw latency against the rate at which texts arrive."""
    rows: list[Row] = []
    most: dict[str, str] = {}
    engines = {engine.name: engine for engine in view.report.engines}
    for load in view.report.open_loads:
        if (engine := engines.get(load.engine)) is None:
            continue
        chosen, rate = view.looks[engine.name].chosen, load.max_rate_within_slo
        most[engine.name] = "" if rate is None else f" {number(rate)}/s"
        for point in load.points:
            said = f"{number(point.p99_ms)} ms at {number(point.offered_per_s)}/s"
            place = {"rate": point.offered_per_s, "ms": point.p99_ms, "chosen": chosen}
            marks = {"lost": point.saturated, "ring": chosen and point.offered_per_s == rate}
            sizes = {"width": 2.2 if chosen else 1, "size": 22 if chosen else 8}
            rows.append(_row(view, engine, said, crowded=True) | place | marks | sizes)
    rows.sort(key=lambda row: row["chosen"])
    svg = None
    if rows:
        rates, times = [row["rate"] for row in rows], [row["ms"] for row in rows]
        x = log("rate", "texts offered a second", min(rates) * 0.85, max(rates) * 1.18)
        y = log("ms", "99th percentile, ms", min(times) * 0.7, max(times) * 1.5)
        at = {"x": x, "y": y, "color": COLOR}
        cross = {"shape": "M-1,-1L1,1M-1,1L1,-1", "size": 30, "strokeWidth": 1.6}
        ring = {"shape": "circle", "size": 120, "strokeWidth": 1.8}
        lost, rings = ([row for row in rows if row[mark]] for mark in ("lost", "ring"))
        layers = [
            lines(x, y),
            points(x, y),
            layer("point", at, lost, filled=False, aria=False, **cross),
            layer("point", at, rings, filled=False, aria=False, **ring),
        ]
        svg = draw(layers, rows, height=224)
    keys = _chosen_keys(view, most)
    return Figure(name="under-load", title="Latency under load", svg=svg, legend=keys)


def operators(view: View) -> Figure:
    """Draw where the time of a graph goes, before and after fusion and int8."""
    profiles = view.report.profiles
    total: Counter[str] = Counter()
    for profile in profiles:
        total.update({operator.name: operator.ms for operator in profile.operators})
    top = [name for name, _ in total.most_common(len(PARTS) - 1)]
    colors = [*PARTS[: len(top)], PARTS[-1]]
    several = len({profile.workload for profile in profiles}) > 1
    found = []
    for profile in profiles:
        ms = {operator.name: operator.ms for operator in profile.operators}
        named = [ms.get(name, 0.0) for name in top]
        parts = [*named, max(profile.total_ms - sum(named), 0.0)]
        name = profile.stage + (f", {profile.workload}" if several else "")
        figure = f"{number(profile.total_ms)} ms"
        found.append(Bar(name=name, figure=figure, parts=list(zip(parts, colors, strict=True))))
    texts = [*top, "all other"]
    return Figure(
        name="operators",
        title="Where the time goes, by operator",
        svg=bars(found, "ms a run", limited=True) if found else None,
        note="" if several or not profiles else f"A run of {profiles[0].workload}, ",
        spoken="; ".join(f"{bar.name} {bar.figure}" for bar in found),
        legend=tuple(Key(color=c, text=text) for c, text in zip(colors, texts, strict=True)),
    )


def cold_start(view: View) -> Figure:
    """Draw the time from starting the process to its first label."""
    found = []
    for engine in view.report.engines:
        if (start := engine.cold_start) is not None:
            parts = [(float(getattr(start, field)), color) for field, _, color in STARTS]
            strong, figure = view.looks[engine.name].strong, f"{start.total_s:.2f} s"
            found.append(Bar(name=engine.name, figure=figure, parts=parts, strong=strong))
    return Figure(
        name="cold-start",
        title="Cold start to first label",
        svg=bars(found, "seconds", limited=True) if found else None,
        spoken="; ".join(f"{bar.name} {bar.figure}" for bar in found),
        legend=tuple(Key(color=color, text=text) for _, text, color in STARTS),
    )


def sizes(view: View, name: str, title: str, field: str) -> Figure:
    """Draw what every engine takes of something that its record has in bytes."""
    found = [
        Bar(
            name=engine.name,
            figure=f"{number(size / MIB)} MiB",
            parts=[(size / MIB, f"e{view.looks[engine.name].number}")],
            strong=view.looks[engine.name].strong,
        )
        for engine in view.report.engines
        if (size := getattr(engine, field)) is not None
    ]
    return Figure(name=name, title=title, svg=bars(found, "MiB") if found else None)


def memory(view: View) -> Figure:
    """Draw the resident memory over time."""
    rows: list[Row] = []
    ends: list[Row] = []
    for engine in view.report.engines:
        if len(engine.memory) > 1:
            for point in engine.memory:
                mib = point.resident_bytes / MIB
                row = _row(view, engine, f"{number(mib)} MiB, {point.where}")
                rows.append(row | {"x": point.at_s, "y": mib})
            ends.append(rows[-1])
    svg = None
    if rows:
        last, top = max(row["x"] for row in rows), max(row["y"] for row in rows) * 1.05
        x = linear("x", "seconds since the process was started", 0, last, tickCount=4)
        y = linear("y", "resident, MiB", 0, top, tickCount=6)
        svg = draw([lines(x, y), points(x, y), *named_ends(x, y, ends)], rows, right=ROOM)
    return Figure(name="memory", title="Memory over time", svg=svg)


def picture(benches: Sequence[tuple[str, Report]], *, dark: bool) -> str:
    """Return one SVG of every engine's latency, a panel a bench, for a light or a dark page.

    It is a file of its own: its colours are its own, and nothing in it depends on the fonts that
    are installed.
    """
    panels: list[str] = []
    tallest = 0.0
    for name, report in benches:
        view, load = view_of(report), summary.main_load(report)
        if load is None:
            continue
        found = [
            Bar(
                name=engine.name,
                figure=_figure(engine, result),
                parts=[(result.latency.p50_ms, f"e{look.number}")],
                strong=look.strong,
            )
            for engine, look, result in view.of(load.name)
            if engine.problem is None
        ]
        mark = " (not reliable)" if unreliable(report) else ""
        heading, x = html.escape(f"{name}, {load_name(load)}{mark}"), len(panels) * (WIDTH + GAP)
        panel = bars(found, "median latency, ms", top=HEADING)
        panel = panel.replace("<svg ", f'<svg x="{x:g}" ', 1).replace(FONT, SYSTEM)
        bold = f'x="{x + 8:g}" y="18" font-size="14" font-weight="bold" fill="var(--ink)"'
        panel += f"<text {bold}>{heading}</text>\n"
        for variable, shade in view.shades().items():
            panel = panel.replace(f"var(--{variable})", shade[dark])
        panels.append(panel)
        tallest = max(tallest, len(found) * PITCH + HEADING + BOTTOM)
    across, names = len(panels) * (WIDTH + GAP) - GAP, ", ".join(name for name, _ in benches)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{across:g}" '
        f'height="{tallest:g}" viewBox="0 0 {across:g} {tallest:g}" '
        f'aria-label="Median latency by engine: {html.escape(names)}" font-family="{SYSTEM}">\n'
        f"{''.join(panels)}</svg>\n"
    )


def _figure(engine: EngineReport, result: Result) -> str:
    text = f"{number(result.latency.p50_ms)} ms"
    if engine.baseline is None or result.speedup is None:
        return text
    none = result.difference is Difference.NONE
    return f"{text}, no difference" if none else f"{text}, {result.speedup.median:.1f}x"


def _curves(view: View, places: Mapping[str, float], what: str) -> str | None:
    """Draw the median latency of every engine at several workloads, each at its place."""
    rows: list[Row] = []
    for name, place in sorted(places.items(), key=lambda item: item[1]):
        for engine, _, result in view.of(name):
            median, low, high = _median_interval(result.rounds_ms)
            row = _row(view, engine, f"{number(median)} ms, {name}")
            rows.append(row | {"x": place, "ms": median, "low": low, "high": high})
    ticks = sorted({row["x"] for row in rows})
    if len(ticks) < 2:
        return None
    low, high = min(row["low"] for row in rows) * 0.9, max(row["high"] for row in rows) * 1.1
    x = log("x", what, ticks[0] * 0.88, ticks[-1] * 1.14, values=ticks)
    y = log("ms", "median latency, ms", low, high)
    whisker = {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": COLOR}
    ends = list({row["engine"]: row for row in rows}.values())  # the last of each
    layers = [layer("rule", whisker), lines(x, y), points(x, y), *named_ends(x, y, ends)]
    return draw(layers, rows, right=ROOM)


def _row(view: View, engine: EngineReport, said: str, *, crowded: bool = False) -> Row:
    """Return what is the same of an engine in every figure; `said` is for who points at it."""
    look = view.looks[engine.name]
    return {
        "engine": engine.name,
        "color": f"var(--{'m' if crowded else 'e'}{look.number})",
        "marker": look.marker,
        "strong": look.strong,
        "width": 2.6 if look.strong else 1.5,
        "size": 100 if look.strong else 64,
        "said": f"{engine.name}: {said}",
    }


def _median_interval(rounds_ms: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Return the median of the rounds' medians and the ends of its interval, rounds resampled."""
    medians = np.array([np.median(turn) for turn in rounds_ms])
    picks = np.random.default_rng(0).integers(0, medians.size, size=(RESAMPLES, medians.size))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.median(medians[picks], axis=1), [tail, 1 - tail])
    return float(np.median(medians)), float(low), float(high)


def _labelled(engine: EngineReport) -> tuple[float, float, float] | None:
    """Return an engine's value on labelled data and the ends of its interval."""
    found = engine.labelled
    if found is None:
        return None
    if found.low is not None and found.high is not None:
        return found.value, found.low, found.high
    if found.metric in {"accuracy", "frame_accuracy"}:  # of rows, each right or wrong
        return found.value, *share_interval(found.value, found.rows)
    return found.value, found.value, found.value


def _agreement(engine: EngineReport) -> tuple[float, float, float] | None:
    found = engine.on_texts or engine.on_random_tokens
    share = 1.0 if engine.baseline is None else found.share if found else None
    return None if share is None else (share, share, share)


def _most(values: Iterable[int | None]) -> int | None:
    """Return the commonest; of several the smallest."""
    counts = Counter(value for value in values if value is not None)
    return min(counts, key=lambda value: (-counts[value], value), default=None)


def _keys(view: View) -> tuple[Key, ...]:
    measured = {engine for engine, _ in view.results}
    return tuple(
        Key(color=f"e{look.number}", text=name, marker=look.marker)
        for name, look in view.looks.items()
        if name in measured
    )


def _chosen_keys(view: View, figures: Mapping[str, str] | None = None) -> tuple[Key, ...]:
    """Name the engines that a crowded figure points out, with figures, and count the rest."""
    more, measured = figures or {}, {engine for engine, _ in view.results}
    chosen = {name: look for name, look in view.looks.items() if look.chosen}
    keys = [Key(color=f"m{look.number}", text=n + more.get(n, "")) for n, look in chosen.items()]
    rest = len(measured - set(chosen))
    return (*keys, *([Key(color="other", text=count(rest, "other"))] if rest else []))
