"""One picture of one or two benches, a file of its own: for a README, light and dark."""

import re
from collections.abc import Sequence

from matplotlib.axes import Axes

from bertedge.bench import sentences
from bertedge.bench.html import canvas, cost
from bertedge.bench.html.view import View, load_name, view_of
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import EngineReport, Report, Result
from bertedge.bench.statistics import Difference
from bertedge.bench.wording import number

_GAP = 36.0


def picture(benches: Sequence[tuple[str, Report]], *, dark: bool) -> str:
    """Draw every engine's latency, panels side by side; each bench has a name to go above."""
    panels = [svg for name, report in benches if (svg := _panel(name, view_of(report)))]
    width = len(panels) * canvas.WIDTH + (len(panels) - 1) * _GAP
    height = max(_height(svg) for svg in panels)
    placed = "".join(
        _nested(svg, f"panel{i}", i * (canvas.WIDTH + _GAP)) for i, svg in enumerate(panels)
    )
    label = "Median latency by engine: " + ", ".join(name for name, _ in benches)
    return canvas.alone(
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'role="img" aria-label="{label}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}">\n{placed}</svg>\n',
        dark=dark,
    )


def _panel(name: str, view: View) -> str | None:
    load = sentences.main_load(view.report)
    if load is None:
        return None
    rows = [(engine, result) for _, engine, result in view.of(load.name) if engine.problem is None]
    mark = " (not reliable)" if unreliable(view.report) else ""
    heading = f"{name}, {load_name(load)}{mark}"

    def paint(axes: Axes) -> None:
        for row, (engine, result) in enumerate(rows):
            look = view.looks[engine.name]
            y = row * cost.PITCH
            cost.label(axes, y, engine.name, _figure(engine, result), strong=look.strong)
            axes.barh(
                y + 22, result.latency.p50_ms, height=cost.THICK, color=canvas.ink(look.color)
            )
        axes.set_xlim(0, max(result.latency.p50_ms for _, result in rows))
        cost.frame(axes, len(rows))
        canvas.below(axes, "median latency, ms")
        axes.set_title(
            heading, loc="left", fontsize=canvas.TEXT + 2, color=canvas.ink("ink"),
            fontweight="bold", pad=10,
        )  # fmt: skip

    room = canvas.Margins(left=8, right=12, top=34, bottom=36)
    return canvas.draw(paint, label=heading, height=len(rows) * cost.PITCH + 74, margins=room)


def _figure(engine: EngineReport, result: Result) -> str:
    text = f"{number(result.latency.p50_ms)} ms"
    if engine.baseline is None or result.speedup is None:
        return text
    if result.difference is Difference.NONE:
        return f"{text}, no difference"
    return f"{text}, {result.speedup.median:.1f}x"


def _height(svg: str) -> float:
    found = re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg)
    assert found
    return float(found[1])


def _nested(svg: str, prefix: str, x: float) -> str:
    """Place a panel inside a larger drawing, under ids of its own."""
    svg = re.sub(r'\b(id="|url\(#|href="#)', rf"\1{prefix}-", svg)
    size = f'x="{x:g}" y="0" width="{canvas.WIDTH:g}" height="{_height(svg):g}"'
    return svg.replace("<svg ", f"<svg {size} ", 1)
