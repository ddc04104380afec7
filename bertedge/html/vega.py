"""Layers of a figure in Vega-Lite, and the SVG that vl-convert draws of them without a browser.

Colours are CSS variables: one drawing serves a light and a dark page, and the page points an engine
out by setting the variables of all others. Margins are given, not measured, so that a figure is the
same whatever fonts are installed.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import vl_convert

Row = dict[str, Any]
Spec = dict[str, Any]

WIDTH, LEFT, RIGHT, TOP, BOTTOM, TALL = 350.0, 38.0, 16.0, 26.0, 40.0, 204.0
"""Units of a figure, its margins and its axes; a unit is about a pixel on a phone as on a desk."""
PITCH = 31.0
"""A row of a bar chart: the name stands above its bar, so that long names need no margin."""
TICKS = [float(f"{step}e{power}") for power in range(-4, 7) for step in (1, 2, 5)]
FONT = "DejaVu Sans, Verdana, sans-serif"
"""Names are cut to their room in a font that few are wider than; pages set their own."""
WEIGHT = {"expr": "datum.strong ? 'bold' : 'normal'"}
COLOR, SHAPE = ({"field": name, "type": "nominal", "scale": None} for name in ("color", "marker"))
CONFIG = {
    "font": FONT,
    "view": {"stroke": None},
    "text": {"fontSize": 12, "baseline": "middle", "aria": False, "fill": "var(--ink)"},
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


class Bar(NamedTuple):
    """A row of a bar chart; the name and the figure stand above it."""

    name: str
    figure: str
    parts: Sequence[tuple[float, str]]
    """The length and the colour of each piece."""
    strong: bool = False


def draw(
    layers: Sequence[Spec], rows: Sequence[Row], *, height: float = TALL, left: float = LEFT,
    top: float = TOP,
) -> str | None:  # fmt: skip
    """Return the SVG of layers, whose data are `rows` unless they have their own; None for none."""
    if not rows:
        return None
    svg: str = vl_convert.vegalite_to_svg({
        "data": {"values": list(rows)},
        "layer": list(layers),
        "width": WIDTH - left - RIGHT,
        "height": height,
        "padding": {"left": left, "right": RIGHT, "top": top, "bottom": BOTTOM},
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


def lines(x: Spec, y: Spec, *, interpolate: str = "linear") -> Spec:
    """Return a line for each engine."""
    width = {"field": "width", "type": "quantitative", "scale": None}
    engine = {"field": "engine", "type": "nominal"}
    same = {"color": COLOR, "strokeWidth": width, "detail": engine, "description": engine}
    return layer("line", {"x": x, "y": y, **same}, interpolate=interpolate)


def points(x: Spec, y: Spec) -> Spec:
    """Return a point for each row, with its engine's marker."""
    size = {"field": "size", "type": "quantitative", "scale": None}
    same = {"color": COLOR, "shape": SHAPE, "size": size, "description": {"field": "said"}}
    return layer("point", {"x": x, "y": y, **same})


def linear(field: str, title: str, low: float, high: float, **axis: object) -> Spec:
    """Return an axis from `low` to `high`."""
    scale = {"domain": [low, high], "nice": False, "zero": False}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def log(field: str, title: str, padding: float = 8, **axis: object) -> Spec:
    """Return a logarithmic axis around its values, with numbers at 1, 2 and 5 of each power."""
    scale = {"type": "log", "nice": False, "padding": padding}
    axis = {"values": TICKS} | axis
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def bars(found: Sequence[Bar], unit: str, *, limited: bool = False, top: float = 4) -> str | None:
    """Draw bars; where `limited`, one that leaves the others no room is cut off, and says so."""
    totals = [sum(length for length, _ in bar.parts) for bar in found]
    limit = _limit(totals) if limited else max(totals, default=0.0)
    heads: list[Row] = []
    rows: list[Row] = []
    for i, (bar, total) in enumerate(zip(found, totals, strict=True)):
        figure = bar.figure + (" (beyond the axis)" if total > limit else "")
        heads.append({"row": i, "name": bar.name, "figure": figure, "strong": bar.strong})
        for part, (length, color) in enumerate(bar.parts):
            piece = {"row": i, "part": part, "length": length, "color": f"var(--{color})"}
            rows.append(piece | {"said": f"{bar.name}: {length:.3g} {unit}"})
    y = {"field": "row", "type": "ordinal", "axis": None, "scale": {"padding": 0}}
    x = linear("length", unit, 0, limit, tickCount=4, grid=True, domain=False)
    x = x | {"stack": "zero", "scale": x["scale"] | {"clamp": True}}
    said = {"description": {"field": "said"}}
    pieces = {"x": x, "y": y, "color": COLOR, "order": {"field": "part"}} | said
    name = {"x": {"value": 0}, "y": y, "text": {"field": "name"}}
    right = {"x": {"value": WIDTH - 8 - RIGHT}, "y": y, "text": {"field": "figure"}}
    room = {"expr": f"{WIDTH - 40} - 7.5 * length(datum.figure)"}
    above = {"dy": -7, "fontWeight": WEIGHT}
    layers = [
        layer("bar", pieces, height=10, yOffset=8, stroke="var(--card)", strokeWidth=0.6),
        layer("text", name, heads, align="left", limit=room, **above),
        layer("text", right, heads, align="right", **above),
    ]
    return draw(layers, rows, height=len(found) * PITCH, left=8, top=top)


def _limit(totals: Sequence[float]) -> float:
    """Return where the axis ends: at the longest bar that is not three times the next."""
    longest = sorted(totals, reverse=True)
    while len(longest) > 3 and longest[0] > 3 * longest[1]:
        longest = longest[1:]
    return max(longest[:1], default=0.0) * (1 if len(longest) == len(totals) else 1.1)
