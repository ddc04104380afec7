"""The figure of latency against the rate at which texts arrive."""

from matplotlib.axes import Axes

from bertedge.bench import sentences
from bertedge.bench.html import canvas
from bertedge.bench.html.view import Panel, View
from bertedge.bench.open_load import OpenLoad

EDGE = 0.2
"""Share of the figure's width that a knee's label takes."""


def under_load(view: View) -> Panel:
    """Latency against the rate at which texts arrive."""
    shown = [load for load in view.report.open_loads if load.points]
    limits = "Texts arrive at random (Poisson) whether the engine keeps up or not; time counts "
    return Panel(
        name="under-load",
        title="Latency under load",
        caption=limits + "from the arrival. The ring is the knee, the highest rate with the 99th "
        "percentile within five times the unloaded median; a cross could not keep up.",
        svg=_open_loads(view) if shown else None,
        missing="No open-loop load was measured: measure again with this version, without --quick.",
    )


def _open_loads(view: View) -> str:
    numbers = {engine.name: i for i, engine in enumerate(view.report.engines)}
    loads = [load for load in view.report.open_loads if load.points and load.engine in numbers]
    best = sentences.best_variant(view.report)
    named = {best.name, best.baseline} if best else set()

    def paint(axes: Axes) -> None:
        rates, times = [], []
        for load in loads:
            look = view.looks[load.engine]
            steady = [point for point in load.points if not point.saturated]
            lost = [point for point in load.points if point.saturated]
            rates += [point.offered_per_s for point in load.points]
            times += [point.p99_ms for point in load.points]
            color = canvas.ink(look.color)
            (line,) = axes.plot(
                [point.offered_per_s for point in load.points],
                [point.p99_ms for point in load.points],
                color=color, lw=2.4 if look.strong else 1.4, zorder=4 if look.strong else 3,
            )  # fmt: skip
            (dots,) = axes.plot(
                [point.offered_per_s for point in steady], [point.p99_ms for point in steady],
                linestyle="", marker=look.marker, color=color, markersize=4.5, zorder=4,
                markeredgecolor=canvas.ink("card"), markeredgewidth=0.6,
            )  # fmt: skip
            (crosses,) = axes.plot(
                [point.offered_per_s for point in lost], [point.p99_ms for point in lost],
                linestyle="", marker="x", color=color, markersize=6, markeredgewidth=1.8, zorder=5,
            )  # fmt: skip
            knee = [point for point in load.points if point.offered_per_s == load.knee_per_s]
            (ring,) = axes.plot(
                [point.offered_per_s for point in knee], [point.p99_ms for point in knee],
                linestyle="", marker="o", markerfacecolor="none", markeredgecolor=color,
                markersize=11, markeredgewidth=1.8, zorder=5,
            )  # fmt: skip
            for artist in (line, dots, crosses, ring):
                canvas.mark(artist, numbers[load.engine])
        canvas.logarithmic(axes, "x", min(rates) * 0.85, max(rates) * 1.18)
        canvas.logarithmic(axes, "y", min(times) * 0.7, max(times) * 1.5)
        canvas.grid(axes, "y")
        canvas.title(axes, "99th percentile, ms")
        canvas.below(axes, "texts offered a second")
        for load in loads:
            if load.engine in named:
                ours = best is not None and load.engine == best.name
                _name_knee(axes, load, canvas.ink(view.looks[load.engine].color), below=ours)

    return canvas.draw(paint, label="Latency against offered load, by engine", height=270)


def _name_knee(axes: Axes, load: OpenLoad, color: str, *, below: bool) -> None:
    """Write the knee's rate beside its ring, on the side where the figure has room for it."""
    for point in load.points:
        if point.offered_per_s != load.knee_per_s:
            continue
        place = (point.offered_per_s, point.p99_ms)
        across = axes.transAxes.inverted().transform(axes.transData.transform(place))[0]
        if across > 1 - EDGE:
            side, offset = "right", (8, 11)
        elif across < EDGE:
            side, offset = "left", (-8, 11)
        else:
            side, offset = ("left", (9, -14)) if below else ("right", (-9, 7))
        axes.annotate(
            f"{canvas.figure_of(point.offered_per_s)}/s", place, xytext=offset,
            textcoords="offset points", ha=side, color=color,
            fontsize=canvas.TEXT, fontweight="bold", zorder=6,
        )  # fmt: skip
