"""The figures of a report; what they say in words stands in page.html.j2."""

from collections.abc import Sequence
from typing import NamedTuple

from bertedge.html import vega
from bertedge.html.vega import Row, layer, linear, lines
from bertedge.report.findings import between, points
from bertedge.report.intervals import Interval, wilson
from bertedge.report.record import Curve, Report, Slicing

DARKEST = 55
"""Percent of the accent colour in a cell of the confusion matrix: text stays readable."""
PARTS = tuple(f"part-{i}" for i in range(7))


class Dot(NamedTuple):
    """A row of a chart: a value with its interval; the name and the figure stand above."""

    name: str
    figure: str
    value: Interval


def reliability(report: Report) -> str | None:
    """Draw how often predictions of like confidence are right."""
    rows: list[Row] = []
    for each in report.bins:
        ends = wilson(round(each.right * each.count), each.count)
        said = f"confidence {each.confidence:.2f}: {each.right:.2f} right of {each.count:,}"
        place = {"x": each.confidence, "y": each.right, "low": ends.low, "high": ends.high}
        share = each.count / max(report.rows, 1)
        look = {"color": "var(--accent)", "marker": "circle", "size": 40 + 260 * share**0.5}
        rows.append(place | look | {"said": said})
    if len(rows) < 2:
        return None
    x, y = linear("x", "confidence", 0, 1, tickCount=5), linear("y", "share right", 0, 1)
    ideal = [{"x": 0, "y": 0}, {"x": 1, "y": 1}]
    dashed = {"strokeDash": [4, 4], "aria": False}
    whisker = {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": vega.COLOR}
    layers = [
        layer("line", {"x": x, "y": y}, ideal, color="var(--muted)", **dashed),
        layer("rule", whisker, opacity=0.6),
        vega.points(x, y),
    ]
    return vega.draw(layers, rows)


def sliced(report: Report, slicing: Slicing) -> str | None:
    """Draw the metric of each slice beside that of all rows."""
    found = [
        Dot(each.name, f"{each.metric.value:.3f} of {each.rows:,}", each.metric)
        for each in slicing.slices
    ]
    return _dots(found, report.metric.replace("_", " "), report.value.value)


def changed(report: Report) -> str | None:
    """Draw what each change of the texts does to the metric."""
    if report.robustness is None:
        return None
    found = [Dot(each.name, points(each.change.value), each.change)
             for each in report.robustness.kinds]  # fmt: skip
    return _dots(found, f"change of {report.metric.replace('_', ' ')}", 0.0)


def trained(curves: Sequence[Curve]) -> str | None:
    """Draw columns of `training.csv` by step."""
    rows: list[Row] = []
    for color, curve in zip(PARTS, curves, strict=False):
        for step, value in zip(curve.steps, curve.values, strict=True):
            same = {"engine": curve.name, "color": f"var(--{color})", "width": 1.8, "size": 24}
            said = f"{curve.name}: {value:.4g} at step {step:,}"
            rows.append(same | {"x": step, "y": value, "marker": "circle", "said": said})
    if not rows:
        return None
    last, values = max(row["x"] for row in rows), [row["y"] for row in rows]
    low, high = min(*values, 0.0), max(values) * 1.05 or 1.0
    x, y = linear("x", "step", 0, last, tickCount=5), linear("y", "", low, high, tickCount=5)
    return vega.draw([lines(x, y), vega.points(x, y)], rows)


def learnt(report: Report) -> str | None:
    """Draw the metric by rows trained on, and where twice as many may lead."""
    curve = report.learning_curve
    if curve is None:
        return None
    rows: list[Row] = []
    for each in curve.points:
        said = f"{each.rows:,} rows: {each.metric.value:.4f} ({between(each.metric)})"
        ends = {"low": each.metric.low, "high": each.metric.high, "engine": "learnt", "width": 1.8}
        look = {"color": "var(--accent)", "marker": "circle", "size": 60, "said": said}
        rows.append({"x": each.rows, "y": each.metric.value} | ends | look)
    last, twice = curve.points[-1], curve.twice
    value = last.metric.value
    ahead = {"x": 2 * last.rows, "y": value + twice.value}
    ends = {"low": value + twice.low, "high": value + twice.high}
    said = f"twice as many rows, an estimate: {points(twice.value)}"
    guess = ahead | ends | {"color": "var(--muted)", "marker": "circle", "size": 60, "said": said}
    values = [row[name] for row in (*rows, guess) for name in ("low", "high")]
    room = max((max(values) - min(values)) * 0.06, 0.005)
    x = vega.log("x", "rows trained on", padding=16)
    y = linear("y", report.metric.replace("_", " "), min(values) - room, max(values) + room,
               tickCount=5)  # fmt: skip
    whisker = {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": vega.COLOR}
    layers = [
        layer("rule", whisker, opacity=0.6),
        layer("rule", whisker, [guess], opacity=0.6),
        layer("line", {"x": x, "y": y}, [{"x": last.rows, "y": value}, ahead],
              color="var(--muted)", strokeDash=[4, 4], aria=False),
        lines(x, y),
        vega.points(x, y),
        {**vega.points(x, y), "data": {"values": [guess]}},
    ]  # fmt: skip
    return vega.draw(layers, rows)


def shade(count: int, most: int) -> int:
    """Return how much of the accent colour a cell of the confusion matrix has, in percent."""
    return round(DARKEST * (count / most) ** 0.5) if most else 0


def _dots(found: Sequence[Dot], unit: str, reference: float) -> str | None:
    rows: list[Row] = []
    for number, dot in enumerate(found):
        ends = {"low": dot.value.low, "high": dot.value.high, "value": dot.value.value}
        look = {"color": "var(--accent)", "marker": "circle", "size": 70}
        said = f"{dot.name}: {dot.figure} ({between(dot.value)})"
        head = {"name": dot.name, "figure": dot.figure, "strong": False}
        rows.append({"row": number, "said": said} | ends | look | head)
    if not rows:
        return None
    least = min(reference, *(row["low"] for row in rows))
    most = max(reference, *(row["high"] for row in rows))
    room = max((most - least) * 0.06, 0.005)
    x = linear("value", unit, least - room, most + room, tickCount=4, grid=True, domain=False)
    y = {"field": "row", "type": "ordinal", "axis": None, "scale": {"padding": 0}}
    across = {"x": x | {"field": "low"}, "x2": {"field": "high"}, "y": y, "color": vega.COLOR}
    place = {"color": vega.COLOR, "shape": vega.SHAPE, "description": {"field": "said"}}
    name = {"x": {"value": 0}, "y": y, "text": {"field": "name"}}
    right = {"x": {"value": vega.WIDTH - 8 - vega.RIGHT}, "y": y, "text": {"field": "figure"}}
    room_left = {"expr": f"{vega.WIDTH - 40} - 7.5 * length(datum.figure)"}
    layers = [
        layer("rule", {"x": x}, [{"value": reference}], color="var(--muted)", strokeDash=[4, 4]),
        layer("rule", across, yOffset=8, strokeWidth=2, opacity=0.6),
        layer("point", {"x": x, "y": y, **place}, yOffset=8, size=70),
        layer("text", name, align="left", limit=room_left, dy=-7),
        layer("text", right, align="right", dy=-7),
    ]
    return vega.draw(layers, rows, height=len(rows) * vega.PITCH, left=8, top=4)
