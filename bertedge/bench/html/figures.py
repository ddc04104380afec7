"""The figures of a report; what they say in words stands in page.html.j2."""

import html
from collections import Counter
from collections.abc import Sequence

import numpy as np

from bertedge.bench import summary
from bertedge.bench.html.looks import View, view_of
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import EngineReport, Load, Report, Result
from bertedge.bench.statistics import Difference, median_interval
from bertedge.bench.wording import MIB, load_name, number
from bertedge.html import vega
from bertedge.html.vega import Bar, Row, Spec, layer, linear, lines, log, points

GAP, HEADING = 36.0, 34.0
"""Between the panels of a picture, and above the bars of one."""
STEPS = 120
"""Points of a distribution's curve: so many fill the width."""
SYSTEM = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', Helvetica, Arial, sans-serif"
PARTS = tuple(f"part-{i}" for i in range(7))
STARTS = (
    ("process_s", "interpreter and the rest", "other"),
    ("imports_s", "imports", "part-1"),
    ("load_s", "model and session", "part-0"),
    ("first_run_s", "first run", "part-5"),
)
HOLLOW: Spec = {"filled": False, "aria": False}


def speedups(view: View) -> str | None:
    """Draw the ratios to the baseline at every workload, beside the machine's noise."""
    names = [engine.name for engine in view.report.engines if engine.baseline is not None]
    floors = {noise.workload: noise.floor for noise in view.report.noise}
    slots = max(len(names), 3) + 3  # the workload's name takes three
    rows: list[Row] = []
    heads: list[Row] = []
    for load in view.report.workloads:
        found = [(engine, r.speedup) for engine, r in view.of(load.name) if r.speedup]
        top, floor, name = slots * len(heads), floors.get(load.name, 0.0), load_name(load)
        for engine, ratio in found:
            ends = {"low": ratio.low or ratio.median, "high": ratio.high or ratio.median}
            place = {"at": top + 2.6 + names.index(engine.name), "ratio": ratio.median}
            rows.append(_row(view, engine, f"{ratio.median:.2f}x, {name}") | place | ends)
        if found:
            ends = {"from": top + 2, "to": top + slots - 0.2}
            band = {"ratio": 1, "low": max(1 - floor, 0.2), "high": 1 + floor}
            heads.append({"at": top + 1, "text": name} | band | ends)
    x = log("ratio", "times as fast as the baseline", grid=True, domain=False)
    y = linear("at", "", slots * len(heads), 0) | {"axis": None}
    across = {"x": x | {"field": "low"}, "x2": {"field": "high"}}
    down = {"y": y | {"field": "from"}, "y2": {"field": "to"}}
    text = {"x": {"value": 0}, "y": y, "text": {"field": "text"}}
    layers = [
        layer("rect", across | down, heads, color="var(--band)", opacity=0.75),
        layer("rule", {"x": x, **down}, heads, color="var(--muted)"),
        layer("text", text, heads, align="left"),
        layer("rule", {**across, "y": y, "color": vega.COLOR}, strokeWidth=1.6),
        points(x, y),
    ]
    return vega.draw(layers, rows, height=8.0 * slots * len(heads), left=vega.RIGHT, top=4)


def distribution(view: View, load: Load) -> str | None:
    """Draw every timed run at one workload as an empirical distribution."""
    rows: list[Row] = []
    shares = np.linspace(0, 1, STEPS + 1)
    for engine, result in sorted(view.of(load.name), key=lambda at: view.looks[at[0].name].chosen):
        runs = np.concatenate([np.asarray(turn) for turn in result.rounds_ms])
        same = _row(view, engine, "", crowded=True)
        for share, ms in zip(shares, np.quantile(runs, shares, method="inverted_cdf"), strict=True):
            rows.append(same | {"ms": float(ms), "share": 100 * float(share)})
    y = linear("share", "share of runs, %", 0, 101, values=[0, 25, 50, 75, 95])
    return vega.draw(
        [lines(log("ms", "took no longer than, ms"), y, interpolate="step-after")], rows
    )


def pareto(view: View, what: str) -> str | None:
    """Draw accuracy, or else agreement, against latency, and the engines that no other beats."""
    load = summary.main_load(view.report)
    scored = any(engine.labelled for engine in view.report.engines)
    rows: list[Row] = []
    for engine, result in view.of(load.name) if load else []:
        if found := _rightness(engine, scored=scored):
            value, low, high = (100 * each for each in found)
            ms = result.latency.p50_ms
            place = {"ms": ms, "value": value, "low": low, "high": high}
            rows.append(_row(view, engine, f"{value:.2f} %, {number(ms)} ms") | place)
    if len(rows) < 2:
        return None
    best: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["ms"], -row["value"])):
        if not best or row["value"] > best[-1]["value"]:
            best.append({"ms": row["ms"], "value": row["value"]})
    least, most = min(row["low"] for row in rows), max(row["high"] for row in rows)
    room = max((most - least) * 0.1, 0.15)
    x = log("ms", "median latency, ms", padding=24)
    y = linear("value", f"{what}, %", least - room, most + room, tickCount=5)
    bar = {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": vega.COLOR}
    step = {"interpolate": "step-after", "color": "var(--band)", "aria": False}
    front = layer("line", {"x": x, "y": y}, best, **step)
    return vega.draw([front, layer("rule", bar, opacity=0.6), points(x, y)], rows)


def curves(view: View, along: str, fixed: str, what: str) -> str | None:
    """Draw every engine's median latency by the length (or batch) of the grid's workloads.

    Those of the commonest batch (or length) are drawn; whiskers resample the rounds.
    """
    kept = commonest(view.report, fixed)
    loads = [load for load in view.report.workloads if getattr(load, fixed) == kept is not None]
    rows: list[Row] = []
    for load in sorted(loads, key=lambda load: int(getattr(load, along))):
        for engine, result in view.of(load.name):
            medians = [float(np.median(turn)) for turn in result.rounds_ms]
            ms, (low, high) = float(np.median(medians)), median_interval(medians)
            place = {"x": getattr(load, along), "ms": ms, "low": low, "high": high}
            rows.append(_row(view, engine, f"{number(ms)} ms, {load.name}") | place)
    ticks = sorted({row["x"] for row in rows})
    x, y = log("x", what, padding=14, values=ticks), log("ms", "median latency, ms")
    whisker = {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": vega.COLOR}
    return vega.draw([layer("rule", whisker), lines(x, y), points(x, y)], rows if ticks[1:] else [])


def commonest(report: Report, field: str) -> int | None:
    """Return the commonest batch or length of the grid; of several the smallest."""
    counts = Counter(getattr(load, field) for load in report.workloads if load.length is not None)
    return min(counts, key=lambda value: (-counts[value], value), default=None)


def under_load(view: View) -> str | None:
    """Draw latency against the rate at which texts arrive."""
    rows: list[Row] = []
    for load in view.report.open_loads:
        chosen, rate = view.looks[load.engine].chosen, load.max_rate_within_slo
        for point in load.points:
            said = f"{number(point.p99_ms)} ms at {number(point.offered_per_s)}/s"
            row = _row(view, view.report.by_name[load.engine], said, crowded=True)
            place = {"rate": point.offered_per_s, "ms": point.p99_ms, "chosen": chosen}
            marks = {"lost": point.saturated, "ring": chosen and point.offered_per_s == rate}
            rows.append(row | place | marks | {"size": 22 if chosen else 8})
    rows.sort(key=lambda row: row["chosen"])
    x, y = log("rate", "texts offered a second"), log("ms", "99th percentile, ms")
    at = {"x": x, "y": y, "color": vega.COLOR}
    lost, ring = ([row for row in rows if row[kind]] for kind in ("lost", "ring"))
    cross: Spec = {"shape": "M-1,-1L1,1M-1,1L1,-1", "size": 30, "strokeWidth": 1.6}
    marked = [
        layer("point", at, lost, **HOLLOW | cross),
        layer("point", at, ring, **HOLLOW | {"shape": "circle", "size": 120, "strokeWidth": 1.8}),
    ]
    return vega.draw([lines(x, y), points(x, y), *marked], rows, height=224)


def operators(view: View) -> str | None:
    """Draw where the time of a graph goes, before and after fusion and int8."""
    top = top_operators(view.report)
    several = len({profile.workload for profile in view.report.profiles}) > 1
    found = []
    for profile in view.report.profiles:
        ms = {operator.name: operator.ms for operator in profile.operators}
        parts = [(ms.get(name, 0.0), color) for name, color in zip(top, PARTS, strict=False)]
        rest = max(profile.total_ms - sum(length for length, _ in parts), 0.0)
        name = profile.stage + (f", {profile.workload}" if several else "")
        found.append(Bar(name, f"{number(profile.total_ms)} ms", [*parts, (rest, "other")]))
    return vega.bars(found, "ms a run", limited=True)


def top_operators(report: Report) -> list[str]:
    """Return the operators that take most of the time, as many as have a colour of their own."""
    total: Counter[str] = Counter()
    for profile in report.profiles:
        total.update({operator.name: operator.ms for operator in profile.operators})
    return [name for name, _ in total.most_common(len(PARTS))]


def cold_start(view: View) -> str | None:
    """Draw the time from starting the process to its first label."""
    found = [
        Bar(
            engine.name,
            f"{start.total_s:.2f} s",
            [(float(getattr(start, field)), color) for field, _, color in STARTS],
            view.looks[engine.name].strong,
        )
        for engine in view.report.engines
        if (start := engine.cold_start) is not None
    ]
    return vega.bars(found, "seconds", limited=True)


def sizes(view: View, field: str) -> str | None:
    """Draw what every engine takes of something that its record has in bytes."""
    found = [
        _bar(view, engine, size / MIB, f"{number(size / MIB)} MiB")
        for engine in view.report.engines
        if (size := getattr(engine, field)) is not None
    ]
    return vega.bars(found, "MiB")


def memory(view: View) -> str | None:
    """Draw the resident memory over time."""
    rows: list[Row] = []
    for engine in view.report.engines:
        for point in engine.memory if len(engine.memory) > 1 else ():
            mib = point.resident_bytes / MIB
            row = _row(view, engine, f"{number(mib)} MiB, {point.where}")
            rows.append(row | {"x": point.at_s, "y": mib})
    last, top = (max((row[axis] for row in rows), default=0) for axis in "xy")
    x = linear("x", "seconds since the process was started", 0, last, tickCount=4)
    y = linear("y", "resident, MiB", 0, top * 1.05, tickCount=6)
    return vega.draw([lines(x, y), points(x, y)], rows)


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
            _bar(view, engine, result.latency.p50_ms, _latency(result))
            for engine, result in view.of(load.name)
            if engine.problem is None
        ]
        mark = " (not reliable)" if unreliable(report) else ""
        heading = html.escape(f"{name}, {load_name(load)}{mark}")
        x = len(panels) * (vega.WIDTH + GAP)
        panel = vega.bars(found, "median latency, ms", top=HEADING) or ""
        panel = panel.replace("<svg ", f'<svg x="{x:g}" ', 1).replace(vega.FONT, SYSTEM)
        bold = f'x="{x + 8:g}" y="18" font-size="14" font-weight="bold" fill="var(--ink)"'
        panel += f"<text {bold}>{heading}</text>\n"
        for variable, shade in view.shades().items():
            panel = panel.replace(f"var(--{variable})", shade[dark])
        panels.append(panel)
        tallest = max(tallest, len(found) * vega.PITCH + HEADING + vega.BOTTOM)
    across, names = len(panels) * (vega.WIDTH + GAP) - GAP, ", ".join(name for name, _ in benches)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{across:g}" '
        f'height="{tallest:g}" viewBox="0 0 {across:g} {tallest:g}" '
        f'aria-label="Median latency by engine: {html.escape(names)}" font-family="{SYSTEM}">\n'
        f"{''.join(panels)}</svg>\n"
    )


def _latency(result: Result) -> str:
    text = f"{number(result.latency.p50_ms)} ms"
    if result.speedup is None:
        return text
    none = result.difference is Difference.NONE
    return f"{text}, no difference" if none else f"{text}, {result.speedup.median:.1f}x"


def _bar(view: View, engine: EngineReport, length: float, figure: str) -> Bar:
    look = view.looks[engine.name]
    return Bar(engine.name, figure, [(length, f"e{look.number}")], look.strong)


def _row(view: View, engine: EngineReport, said: str, *, crowded: bool = False) -> Row:
    """Return what is the same of an engine in every figure; `said` is for who points at it."""
    look = view.looks[engine.name]
    strong = look.chosen if crowded else look.strong
    return {
        "engine": engine.name,
        "color": f"var(--{'m' if crowded else 'e'}{look.number})",
        "marker": look.marker,
        "width": 2.4 if strong else 1 if crowded else 1.5,
        "size": 100 if strong else 64,
        "said": f"{engine.name}: {said}",
    }


def _rightness(engine: EngineReport, *, scored: bool) -> tuple[float, float, float] | None:
    """Return the metric, or else the agreement, and the ends of its interval."""
    found, seen = engine.labelled, engine.on_texts or engine.on_random_tokens
    if scored and found:
        low, high = found.low, found.high
        return found.value, found.value if low is None else low, high or found.value
    if scored or (seen is None and engine.baseline is not None):
        return None
    share = 1.0 if seen is None or engine.baseline is None else seen.share
    return share, share, share
