"""The figure of accuracy against latency, with the engines that no other beats in both."""

from dataclasses import dataclass

from matplotlib.axes import Axes

from bertedge.bench import sentences
from bertedge.bench.html import canvas, labels
from bertedge.bench.html.view import Panel, View, accuracy_name, load_name
from bertedge.bench.report import EngineReport, Labelled
from bertedge.bench.statistics import share_interval

Interval = tuple[float, float]
BARS = (
    "Bars: 95 % interval of each engine alone. All scored the same rows, so that a difference "
    "between two can be significant though their bars overlap."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """An engine's place."""

    number: int
    engine: EngineReport
    ms: float
    value: float
    ends: Interval | None


def pareto(view: View) -> Panel:
    """Accuracy, or else agreement, against latency."""
    load = sentences.main_load(view.report)
    metric = next((e.labelled.metric for e in view.report.engines if e.labelled), None)
    what = accuracy_name(metric) if metric else "labels equal to the baseline's"
    of = _labelled if metric else _agreement
    points = [
        _Point(number=i, engine=engine, ms=result.latency.p50_ms, value=found[0], ends=found[1])
        for i, engine, result in (view.of(load.name) if load else [])
        if (found := of(engine)) is not None
    ]
    bars = any(point.ends for point in points)
    return Panel(
        name="pareto",
        title=f"{what[0].upper()}{what[1:]} against latency",
        caption=f"Latency is the median, {load_name(load)}. {BARS if bars else ''}" if load else "",
        svg=_pareto(view, points, what) if len(points) > 1 else None,
        missing="Needs labelled texts: give --data FILE (and --label-column).",
    )


def _labelled(engine: EngineReport) -> tuple[float, Interval | None] | None:
    found = engine.labelled
    if found is None:
        return None
    if found.low is not None and found.high is not None:
        return found.value, (found.low, found.high)
    return found.value, share_interval(found.value, found.rows) if _is_share(found) else None


def _is_share(found: Labelled) -> bool:
    """Tell whether a metric counts rows, each right or wrong."""
    return found.metric in {"accuracy", "frame_accuracy"}


def _agreement(engine: EngineReport) -> tuple[float, Interval | None] | None:
    if engine.baseline is None:
        return 1.0, None
    found = engine.on_texts or engine.on_random_tokens
    return (found.share, None) if found else None


def _pareto(view: View, points: list[_Point], what: str) -> str:
    best: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda point: (point.ms, -point.value)):
        if not best or point.value * 100 > best[-1][1]:
            best.append((point.ms, point.value * 100))
    ends = [100 * end for point in points for end in (point.value, *(point.ends or ()))]
    room = max((max(ends) - min(ends)) * 0.1, 0.15)

    def paint(axes: Axes) -> None:
        axes.step(*zip(*best, strict=True), where="post", color=canvas.ink("band"), lw=2)
        for point in points:
            _draw(axes, view, point)
        times = [point.ms for point in points]
        canvas.logarithmic(axes, "x", min(times) * 0.75, max(times) * 1.35)
        axes.set_ylim(min(ends) - room, max(ends) + room)
        named = [_name(view, point) for point in points]
        # Those that the eye looks for get the nearest places.
        order = sorted(named, key=lambda label: (not label.strong, (label.x, label.y) not in best))
        labels.beside(axes, order, [(label.x, label.y) for label in named])
        canvas.grid(axes, "y")
        canvas.title(axes, f"{what}, %")
        canvas.below(axes, "median latency, ms")

    return canvas.draw(paint, label=f"{what} against latency, by engine", height=300)


def _draw(axes: Axes, view: View, point: _Point) -> None:
    look = view.looks[point.engine.name]
    color = canvas.ink(look.color)
    if point.ends:
        low, high = (100 * end for end in point.ends)
        (bar,) = axes.plot([point.ms, point.ms], [low, high], color=color, lw=1.1, alpha=0.6)
        canvas.mark(bar, point.number)
    (dot,) = axes.plot(
        point.ms, point.value * 100, linestyle="", marker=look.marker, color=color,
        markersize=10 if look.strong else 7.5, markeredgecolor=canvas.ink("card"),
        markeredgewidth=1, zorder=4,
    )  # fmt: skip
    canvas.mark(dot, point.number)


def _name(view: View, point: _Point) -> labels.Label:
    look = view.looks[point.engine.name]
    return labels.Label(
        engine=point.number, text=point.engine.name, x=point.ms, y=point.value * 100,
        color=look.color, strong=look.strong,
    )  # fmt: skip
