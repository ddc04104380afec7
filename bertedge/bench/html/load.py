"""The figure of latency against the rate at which texts arrive."""

import numpy as np
from matplotlib.axes import Axes

from bertedge.bench.html import canvas, labels
from bertedge.bench.html.view import GREY, Panel, View, chosen_keys
from bertedge.bench.scenarios.open_load import OpenLoad


def under_load(view: View) -> Panel:
    """Latency against the rate at which texts arrive."""
    shown = [load for load in view.report.open_loads if load.points]
    return Panel(
        name="under-load",
        title="Latency under load",
        caption="Texts arrive at random (Poisson) whether the engine keeps up or not; time counts "
        "from the arrival. The ring and its figure are the max. rate within the latency limit: "
        "the 99th percentile is at most five times the baseline's unloaded median. A cross could "
        "not keep up.",
        svg=_open_loads(view) if shown else None,
        missing="No open-loop load was measured: measure again with this version, without --quick.",
        legend=chosen_keys(view),
    )


def _open_loads(view: View) -> str:
    numbers = {engine.name: i for i, engine in enumerate(view.report.engines)}
    loads = [load for load in view.report.open_loads if load.points and load.engine in numbers]

    def paint(axes: Axes) -> None:
        rates, times = [], []
        for load in loads:
            look, told = view.looks[load.engine], load.engine in view.chosen
            steady = [point for point in load.points if not point.saturated]
            lost = [point for point in load.points if point.saturated]
            rates += [point.offered_per_s for point in load.points]
            times += [point.p99_ms for point in load.points]
            color = canvas.ink(look.color if told else GREY)
            (line,) = axes.plot(
                [point.offered_per_s for point in load.points],
                [point.p99_ms for point in load.points],
                color=color, lw=2.2 if told else 1, zorder=4 if told else 2,
            )  # fmt: skip
            (dots,) = axes.plot(
                [point.offered_per_s for point in steady], [point.p99_ms for point in steady],
                linestyle="", marker=look.marker, color=color, markersize=4.5 if told else 3,
                markeredgecolor=canvas.ink("card"), markeredgewidth=0.6, zorder=4 if told else 2,
            )  # fmt: skip
            (crosses,) = axes.plot(
                [point.offered_per_s for point in lost], [point.p99_ms for point in lost],
                linestyle="", marker="x", color=color, markersize=6 if told else 4,
                markeredgewidth=1.8 if told else 1, zorder=5 if told else 2,
            )  # fmt: skip
            knee = [
                point
                for point in load.points
                if told and point.offered_per_s == load.max_rate_within_slo
            ]
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
        named = [load for load in loads if load.engine in view.chosen]
        points = [place for load in named for place in _along(load)]
        labels.beside(axes, [_name(view, numbers, load) for load in named], points)

    return canvas.draw(paint, label="Latency against offered load, by engine", height=290)


def _along(load: OpenLoad) -> list[tuple[float, float]]:
    """List places along a line, close enough that no name fits between them."""
    rates = np.log([point.offered_per_s for point in load.points])
    times = np.log([point.p99_ms for point in load.points])
    steps = np.linspace(0, len(rates) - 1, 12 * len(rates))
    numbers = np.arange(len(rates))
    x, y = (np.exp(np.interp(steps, numbers, values)) for values in (rates, times))
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _name(view: View, numbers: dict[str, int], load: OpenLoad) -> labels.Label:
    """Name a line and its max. rate within the limit, at that rate; without one at its end."""
    at = next(
        (p for p in load.points if p.offered_per_s == load.max_rate_within_slo), load.points[-1]
    )
    rate = (
        ""
        if load.max_rate_within_slo is None
        else f" {canvas.figure_of(load.max_rate_within_slo)}/s"
    )
    look = view.looks[load.engine]
    return labels.Label(
        engine=numbers[load.engine], text=f"{load.engine}{rate}", x=at.offered_per_s, y=at.p99_ms,
        color=look.color, strong=look.strong,
    )  # fmt: skip
