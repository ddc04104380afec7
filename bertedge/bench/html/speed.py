"""Figures of time: latency by length and batch, its distribution, speed-ups, latency under load."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from bertedge.bench import sentences
from bertedge.bench.html import canvas, labels
from bertedge.bench.html.view import (
    GREY,
    Panel,
    View,
    chosen_keys,
    keys,
    load_name,
    median_interval,
)
from bertedge.bench.report import Load, Result

_TALL = 270.0


def by_length(view: View) -> Panel:
    """Latency of one batch size at several lengths."""
    loads = [load for load in view.report.workloads if load.length is not None]
    batch = _most({load.name: load.batch for load in loads})
    chosen = {load.name: float(load.length or 0) for load in loads if load.batch == batch}
    rows = "one row" if batch == 1 else f"{batch} rows"
    return Panel(
        name="by-length",
        title="Latency by length",
        caption=f"Median time of a run of {rows}. Whiskers: 95 % interval of the median, "
        "resampled by round; where none shows it is narrower than its marker.",
        svg=_curves(view, chosen, "tokens in a row"),
        missing="Fewer than two lengths of one batch size were measured: "
        "give --grid 1x16,1x64,1x128.",
    )


def by_batch(view: View) -> Panel:
    """Latency of one length at several batch sizes."""
    loads = [load for load in view.report.workloads if load.length is not None]
    length = _most({load.name: load.length for load in loads})
    chosen = {load.name: float(load.batch or 0) for load in loads if load.length == length}
    return Panel(
        name="by-batch",
        title="Latency by batch",
        caption=f"Median time of a run of so many rows of {length} tokens; whiskers as before.",
        svg=_curves(view, chosen, "rows in a batch"),
        missing="Fewer than two batch sizes of one length were measured: "
        "give --grid 1x128,4x128,16x128.",
    )


def distribution(view: View, load: Load) -> Panel:
    """Every timed run at one workload, as an empirical distribution."""
    return Panel(
        name="distribution-" + "".join(c if c.isalnum() else "-" for c in load.name),
        title=f"Distribution: {load_name(load)}",
        caption="Share of all timed runs that took no longer than this. A steep curve is a steady "
        "engine; its upper end is the tail.",
        svg=_cdf(view, load),
        missing="No engine was measured at this workload.",
        legend=chosen_keys(view),
    )


def speedups(view: View) -> Panel:
    """Ratios to the baseline at every workload, beside the machine's noise."""
    loads = [
        load for load in view.report.workloads if any(r.speedup for _, _, r in view.of(load.name))
    ]
    floor = "the grey band is what the baseline differs from itself" if view.report.noise else ""
    return Panel(
        name="speedups",
        title="Speed-up over the baseline",
        caption="Median of the rounds' ratios with its 95 % interval; right of 1 is faster"
        + (f", {floor}." if floor else "."),
        svg=_ratios(view, loads) if loads else None,
        missing="No engine was measured beside its baseline.",
        legend=keys(view),
    )


def _most(values: Mapping[str, int | None]) -> int | None:
    """Choose the commonest; of several the smallest."""
    counts = Counter(value for value in values.values() if value is not None)
    return min(counts, key=lambda value: (-counts[value], value), default=None)


def _curves(view: View, where: Mapping[str, float], what: str) -> str | None:
    series: dict[int, list[tuple[float, Result]]] = {}
    for name, x in where.items():
        for i, _, result in view.of(name):
            series.setdefault(i, []).append((x, result))
    places = sorted({x for points in series.values() for x, _ in points})
    if len(places) < 2:
        return None

    def paint(axes: Axes) -> None:
        values = []
        for i, points in series.items():
            look = view.looks[view.report.engines[i].name]
            points.sort(key=lambda point: point[0])
            found = [median_interval(result.rounds_ms) for _, result in points]
            values += [interval.median for interval in found]
            bars = axes.errorbar(
                [x for x, _ in points],
                [interval.median for interval in found],
                yerr=[
                    [interval.median - interval.low for interval in found],
                    [interval.high - interval.median for interval in found],
                ],
                color=canvas.ink(look.color),
                marker=look.marker,
                markersize=8.5 if look.strong else 7,
                markeredgecolor=canvas.ink("card"),
                markeredgewidth=0.8,
                linewidth=2.6 if look.strong else 1.5,
                elinewidth=1.2,
                capsize=2.5,
                zorder=4 if look.strong else 3,
            )
            for artist in bars.get_children():
                canvas.mark(artist, i)
        canvas.logarithmic(axes, "x", places[0] * 0.88, places[-1] * 1.14)
        canvas.ticks_at(axes, places)
        canvas.logarithmic(axes, "y", min(values) * 0.7, max(values) * 1.4)
        canvas.grid(axes, "y")
        canvas.title(axes, "median latency, ms")
        canvas.below(axes, what)
        labels.at_ends(axes, [_end(view, i, points) for i, points in series.items()])

    label = f"Latency in ms against {what}, by engine"
    return canvas.draw(paint, label=label, height=_TALL, margins=canvas.Margins(right=labels.ROOM))


def _end(view: View, number: int, points: list[tuple[float, Result]]) -> labels.Label:
    """Name a line at its last point."""
    x, result = max(points, key=lambda point: point[0])
    name = view.report.engines[number].name
    return labels.Label(
        engine=number, text=name, x=x, y=median_interval(result.rounds_ms).median,
        color=view.looks[name].color, strong=view.looks[name].strong,
    )  # fmt: skip


def _cdf(view: View, load: Load) -> str | None:
    rows = view.of(load.name)
    if not rows:
        return None

    def paint(axes: Axes) -> None:
        ends = []
        for i, engine, result in rows:
            look = view.looks[engine.name]
            times = np.sort(np.concatenate([np.asarray(turn) for turn in result.rounds_ms]))
            shares = np.arange(1, times.size + 1) * 100 / times.size
            # So many steps fill the width; a run more or less would not show.
            kept = np.unique(np.linspace(0, times.size - 1, min(times.size, 240)).astype(int))
            (line,) = axes.step(
                np.append(times[0], times[kept]),
                np.append(0, shares[kept]),
                where="post",
                color=canvas.ink(look.color if engine.name in view.chosen else GREY),
                linewidth=2.4 if engine.name in view.chosen else 1,
                zorder=4 if engine.name in view.chosen else 3,
            )
            canvas.mark(line, i)
            ends += [float(times[0]), float(times[-1])]
        canvas.logarithmic(axes, "x", min(ends) * 0.9, max(ends) * 1.1)
        axes.set_ylim(0, 101)
        axes.set_yticks([0, 25, 50, 75, 95], ["0", "25", "50", "75", "95"])
        canvas.grid(axes, "y")
        canvas.title(axes, "share of runs, %")
        canvas.below(axes, "took no longer than, ms")

    label = f"Distribution of latency, {load_name(load)}, by engine"
    return canvas.draw(paint, label=label, height=_TALL)


def _ratios(view: View, loads: list[Load]) -> str:
    engines = [e for e in view.report.engines if e.baseline is not None]
    step = 8.0
    pitch = step * max(len(engines), 3) + 26
    floors = {noise.workload: noise.floor for noise in view.report.noise}

    def paint(axes: Axes) -> None:
        ends = [1.0]
        for row, load in enumerate(loads):
            top = row * pitch
            axes.text(
                0.0, top + 11, load_name(load), transform=axes.get_yaxis_transform(),
                fontsize=canvas.TEXT, color=canvas.ink("ink"),
            )  # fmt: skip
            middle = top + 20 + step * (len(engines) - 1) / 2
            half = step * len(engines) / 2 + 1
            floor = floors.get(load.name, 0.0)
            axes.fill_betweenx(
                [middle - half, middle + half], 1 - floor, 1 + floor,
                color=canvas.ink("band"), linewidth=0, alpha=0.75,
            )  # fmt: skip
            axes.plot([1, 1], [middle - half, middle + half], color=canvas.ink("muted"), lw=1)
            for i, engine, result in view.of(load.name):
                ratio = result.speedup
                if ratio is None:
                    continue
                look = view.looks[engine.name]
                y = top + 20 + step * engines.index(engine)
                low, high = ratio.low or ratio.median, ratio.high or ratio.median
                (line,) = axes.plot([low, high], [y, y], color=canvas.ink(look.color), lw=1.6)
                (dot,) = axes.plot(
                    ratio.median, y, marker=look.marker, color=canvas.ink(look.color),
                    markersize=9.5 if look.strong else 8, markeredgecolor=canvas.ink("card"),
                    markeredgewidth=0.8, zorder=4,
                )  # fmt: skip
                canvas.mark(line, i)
                canvas.mark(dot, i)
                ends += [low, high]
        canvas.logarithmic(axes, "x", min(ends) * 0.93, max(ends) * 1.12)
        axes.set_ylim(len(loads) * pitch, 0)
        axes.set_yticks([])
        canvas.grid(axes, "x")
        canvas.below(axes, "times as fast as the baseline")

    return canvas.draw(
        paint,
        label="Speed-up over the baseline by workload and engine",
        height=len(loads) * pitch + 52,
        margins=canvas.Margins(left=12, top=8, right=14),
    )


def main_distribution(view: View) -> Panel:
    """The distribution at the workload that stands for the rest."""
    load = sentences.main_load(view.report)
    if load is None:
        return Panel(
            name="distribution",
            title="Distribution",
            caption="",
            svg=None,
            missing="No engine was measured; see what went wrong above.",
        )
    return distribution(view, load)


def other_distributions(view: View) -> list[Panel]:
    """The distributions at all other workloads."""
    chosen = sentences.main_load(view.report)
    return [
        distribution(view, load)
        for load in view.report.workloads
        if chosen and load.name != chosen.name and view.of(load.name)
    ]
