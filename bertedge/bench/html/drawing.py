"""Layers of a figure in Vega-Lite, and the SVG that vl-convert draws of them without a browser.

Colours are CSS variables: one drawing serves a light and a dark page, and the page points an engine
out by setting the variables of all others. Margins are given, not measured, so that a figure is the
same whatever fonts are installed.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import vl_convert

Row = dict[str, Any]
Spec = dict[str, Any]

WIDTH, LEFT, TOP, BOTTOM = 350.0, 38.0, 26.0, 40.0
"""Units of a figure and of its margins; a unit is about a pixel on a phone as on a desk."""
ROOM, EDGE = 118.0, 16.0
"""The right margin with names at the ends of lines, and without."""
TALL = 204.0
LINE = 14.0
"""Height of a line of text."""
PITCH = 31.0
"""A row of a bar chart: the name stands above its bar, so that long names need no margin."""
FONT = "DejaVu Sans, Verdana, sans-serif"
"""Names are cut to their room in a font that few are wider than; pages set their own."""
COLOR = {"field": "color", "type": "nominal", "scale": None}
SAID = {"field": "said"}
WEIGHT = {"expr": "datum.strong ? 'bold' : 'normal'"}
CONFIG = {
    "font": FONT,
    "view": {"stroke": None},
    "text": {"fontSize": 11, "baseline": "middle", "aria": False, "fill": "var(--ink)"},
    "rule": {"aria": False},
    "rect": {"aria": False},
    "point": {"filled": True, "opacity": 1, "stroke": "var(--card)", "strokeWidth": 0.8},
    "axis": {
        "aria": False, "ticks": False, "domain": False, "gridColor": "var(--line)",
        "labelColor": "var(--muted)", "titleColor": "var(--muted)", "labelFontSize": 11,
        "titleFontSize": 11, "titleFontWeight": "normal", "labelPadding": 6, "titlePadding": 8,
        "labelExpr": "datum.value >= 10000 ? datum.value / 1000 + 'k' : '' + datum.value",
    },
    "axisX": {"grid": False, "domain": True, "domainColor": "var(--band)"},
    "axisY": {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "start", "titleX": -26,
              "titleY": -14, "titleBaseline": "middle"},
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A row of a bar chart."""

    name: str
    figure: str
    """Stands above the bar, as the name does."""
    parts: Sequence[tuple[float, str]]
    """The length and the colour of each piece."""
    strong: bool = False


def draw(
    layers: Sequence[Spec], rows: Sequence[Row], *, height: float = TALL, left: float = LEFT,
    right: float = EDGE, top: float = TOP,
) -> str:  # fmt: skip
    """Return the SVG of layers, whose data are `rows` unless they have their own."""
    svg = vl_convert.vegalite_to_svg({
        "data": {"values": list(rows)},
        "layer": list(layers),
        "width": WIDTH - left - right,
        "height": height,
        "padding": {"left": left, "right": right, "top": top, "bottom": BOTTOM},
        "autosize": "none",
        "background": None,
        "config": CONFIG,
    })  # fmt: skip
    svg = re.sub(r'<path class="(?:back|fore)ground"[^>]*/>', "", svg)
    svg = re.sub(r' (?:aria-(?:hidden|roledescription)|class|pointer-events|role)="[^"]*"', "", svg)
    return re.sub(r' (?:d|transform)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), svg)


def layer(kind: str, encoding: Spec, rows: Sequence[Row] | None = None, **mark: object) -> Spec:
    """Return marks of one kind, of their own rows or of the figure's."""
    data = {} if rows is None else {"data": {"values": list(rows)}}
    return {**data, "mark": {"type": kind, **mark}, "encoding": encoding}


def lines(x: Spec, y: Spec, **mark: object) -> Spec:
    """Return a line for each engine."""
    width = {"field": "width", "type": "quantitative", "scale": None}
    engine = {"field": "engine", "type": "nominal"}
    same = {"color": COLOR, "strokeWidth": width, "detail": engine, "description": engine}
    return {"mark": {"type": "line", **mark}, "encoding": {"x": x, "y": y, **same}}


def points(x: Spec, y: Spec) -> Spec:
    """Return a point for each row, with its engine's marker."""
    size = {"field": "size", "type": "quantitative", "scale": None}
    shape = {"field": "marker", "type": "nominal", "scale": None}
    same = {"color": COLOR, "shape": shape, "size": size, "description": SAID}
    return layer("point", {"x": x, "y": y, **same})


def linear(field: str, title: str, low: float, high: float, **axis: object) -> Spec:
    """Return an axis from `low` to `high`."""
    scale = {"domain": [low, high], "nice": False, "zero": False}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def log(field: str, title: str, low: float, high: float, values: Sequence[float] = ()) -> Spec:
    """Return a logarithmic axis with numbers at 1, 2 and 5 of each power of ten, or at `values`."""
    scale = {"type": "log", "domain": [low, high], "nice": False}
    steps = (1, 2, 5) if high / low < 200 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ticks = list(values) or [float(f"{step}e{power}") for power in powers for step in steps]
    axis = {"values": [tick for tick in ticks if low <= tick <= high]}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def named_ends(x: Spec, y: Spec, ends: Sequence[Row]) -> list[Spec]:
    """Write names right of the axes, each as near to its line's end as the others let it be."""
    across = WIDTH - LEFT - ROOM
    found = [end | {"left": across * _share(x, end), "at": TALL * (1 - _share(y, end))}
             for end in ends]  # fmt: skip
    found.sort(key=lambda end: end["at"])
    placed = spread([end["at"] for end in found], -LINE / 2, TALL + LINE / 2)
    rows = [end | {"to": height} for end, height in zip(found, placed, strict=True)]
    left, at, to = (
        {"field": field, "type": "quantitative", "scale": None} for field in ("left", "at", "to")
    )
    lead = {"x": left, "x2": {"value": across + 12}, "y": at, "y2": {"field": "to"}, "color": COLOR}
    name = {"x": {"value": across + 15}, "y": to, "text": {"field": "engine"}, "color": COLOR}
    return [
        layer("rule", lead, rows, strokeWidth=0.7),
        layer("text", name, rows, align="left", limit=ROOM - 17, fontWeight=WEIGHT),
    ]


def spread(wanted: Sequence[float], low: float, high: float) -> list[float]:
    """Return rising heights moved apart to a line of text each, within bounds, centred."""
    step = min(LINE, (high - low) / max(len(wanted) - 1, 1))

    def pushed(heights: Sequence[float], low: float, high: float) -> list[float]:
        placed: list[float] = []
        for i, height in enumerate(heights):
            most = high - (len(heights) - 1 - i) * step
            placed.append(min(max(height, placed[-1] + step if placed else low), most))
        return placed

    down = pushed(wanted, low, high)
    up = pushed([-height for height in reversed(wanted)], -high, -low)
    return [(one - other) / 2 for one, other in zip(down, reversed(up), strict=True)]


def bars(found: Sequence[Bar], unit: str, *, limited: bool = False, top: float = 4) -> str:
    """Draw bars; where `limited`, one that leaves the others no room is cut off, and says so."""
    totals = [sum(length for length, _ in bar.parts) for bar in found]
    limit = _limit(totals) if limited else max(totals)
    heads: list[Row] = []
    rows: list[Row] = []
    for i, (bar, total) in enumerate(zip(found, totals, strict=True)):
        figure = bar.figure + (" (beyond the axis)" if total > limit else "")
        room = WIDTH - 40 - 7.5 * len(figure)
        heads.append({"row": i, "name": bar.name, "figure": figure, "strong": bar.strong,
                      "room": room})  # fmt: skip
        at = 0.0
        for length, color in bar.parts:
            ends = {"from": min(at, limit), "to": min(at + length, limit)}
            said = f"{bar.name}: {length:.3g} {unit}"
            rows.append({"row": i, "color": f"var(--{color})", "said": said, **ends})
            at += length
    y = {"field": "row", "type": "ordinal", "axis": None, "scale": {"padding": 0}}
    x = linear("from", unit, 0, limit, tickCount=4, grid=True, domain=False)
    piece = {"x": x, "x2": {"field": "to"}, "y": y, "color": COLOR, "description": SAID}
    name = {"x": {"value": 0}, "y": y, "text": {"field": "name"}}
    figure_at = {"x": {"value": WIDTH - 8 - EDGE}, "y": y, "text": {"field": "figure"}}
    layers = [
        layer("bar", piece, height=10, yOffset=8, stroke="var(--card)", strokeWidth=0.6),
        layer("text", name, heads, dy=-7, fontSize=12, fontWeight=WEIGHT, align="left",
              limit={"expr": "datum.room"}),
        layer("text", figure_at, heads, dy=-7, fontSize=12, fontWeight=WEIGHT, align="right"),
    ]  # fmt: skip
    return draw(layers, rows, height=len(found) * PITCH, left=8, top=top)


def _share(axis: Spec, row: Row) -> float:
    """Return where a row lies on an axis: 0 at its beginning, 1 at its end."""
    value, (low, high) = row[axis["field"]], axis["scale"]["domain"]
    if axis["scale"].get("type") == "log":
        value, low, high = math.log(value), math.log(low), math.log(high)
    return float((value - low) / (high - low))


def _limit(totals: Sequence[float]) -> float:
    """Return where the axis ends: at the longest bar that is not three times the next."""
    longest = sorted(totals, reverse=True)
    while len(longest) > 3 and longest[0] > 3 * longest[1]:
        longest = longest[1:]
    return longest[0] * (1 if longest[0] == max(totals) else 1.1)
