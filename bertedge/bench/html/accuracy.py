"""The figure of accuracy against latency, with the engines that no other beats in both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from bertedge.bench import sentences
from bertedge.bench.html import canvas
from bertedge.bench.html.view import Panel, View, accuracy_name, load_name
from bertedge.bench.report import EngineReport


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a name stands: beside a point, so many units to the right and up."""

    at: tuple[float, float]
    right: float
    up: float


def pareto(view: View) -> Panel:
    """Accuracy, or else agreement, against latency."""
    load = sentences.main_load(view.report)
    metric = next((e.labelled.metric for e in view.report.engines if e.labelled), None)
    what = accuracy_name(metric) if metric else "labels equal to the baseline's"
    of: Callable[[EngineReport], float | None] = _labelled if metric else _agreement
    points = [
        (i, engine, result.latency.p50_ms, value * 100)
        for i, engine, result in (view.of(load.name) if load else [])
        if (value := of(engine)) is not None
    ]
    return Panel(
        name="pareto",
        title=f"{what[0].upper()}{what[1:]} against latency",
        caption=f"Latency is the median, {load_name(load)}. " if load else "",
        svg=_pareto(view, points, what) if len(points) > 1 else None,
        missing="Needs labelled texts: give --data FILE (and --label-column).",
    )


def _labelled(engine: EngineReport) -> float | None:
    return engine.labelled.value if engine.labelled else None


def _agreement(engine: EngineReport) -> float | None:
    if engine.baseline is None:
        return 1.0
    found = engine.on_texts or engine.on_random_tokens
    return found.share if found else None


def _pareto(view: View, points: list[tuple[int, EngineReport, float, float]], what: str) -> str:
    best: list[tuple[float, float]] = []
    for _, _, x, y in sorted(points, key=lambda point: (point[2], -point[3])):
        if not best or y > best[-1][1]:
            best.append((x, y))
    values = [y for _, _, _, y in points]
    room = max((max(values) - min(values)) * 0.18, 0.15)

    def paint(axes: Axes) -> None:
        axes.step(*zip(*best, strict=True), where="post", color=canvas.ink("band"), lw=2)
        for i, engine, x, y in points:
            look = view.looks[engine.name]
            (dot,) = axes.plot(
                x, y, linestyle="", marker=look.marker, color=canvas.ink(look.color),
                markersize=10 if look.strong else 7.5, markeredgecolor=canvas.ink("card"),
                markeredgewidth=1, zorder=4,
            )  # fmt: skip
            canvas.mark(dot, i)
        times = [x for _, _, x, _ in points]
        canvas.logarithmic(axes, "x", min(times) * 0.75, max(times) * 1.35)
        axes.set_ylim(min(values) - room, max(values) + room)
        for i, place in _places(axes, points, lambda e, p: view.looks[e.name].strong or p in best):
            engine = view.report.engines[i]
            look = view.looks[engine.name]
            words = axes.annotate(
                engine.name, place.at, xytext=(place.right, place.up), textcoords="offset points",
                ha="left" if place.right > 0 else "right", va="center", fontsize=canvas.TEXT,
                color=canvas.ink(look.color), fontweight="bold" if look.strong else "normal",
            )  # fmt: skip
            canvas.mark(words, i)
        canvas.grid(axes, "y")
        canvas.title(axes, f"{what}, %")
        canvas.below(axes, "median latency, ms")

    return canvas.draw(paint, label=f"{what} against latency, by engine", height=270)


def _places(
    axes: Axes,
    points: list[tuple[int, EngineReport, float, float]],
    first: Callable[[EngineReport, tuple[float, float]], bool],
) -> list[tuple[int, "_Place"]]:
    """Choose where names stand, those of `first` first; a name without room is left to the legend.

    Boxes are in units; a letter is taken to be 0.6 of the text's size wide, which few fonts exceed.
    """
    seen = [tuple(axes.transData.transform((x, y))) for _, _, x, y in points]
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in seen]
    inside = axes.bbox
    placed = []
    order = sorted(zip(points, seen, strict=True), key=lambda p: not first(p[0][1], p[0][2:]))
    for (i, engine, x, y), (left, bottom) in order:
        width = len(engine.name) * canvas.TEXT * 0.6
        for right, up in ((11, 0), (-11, 0), (9, -13), (-9, -13), (9, 13), (-9, 13)):
            start = left + right if right > 0 else left + right - width
            box = (start, bottom + up - 7, start + width, bottom + up + 7)
            fits = inside.x0 - 4 < box[0] and box[2] < inside.x1 + 8 and inside.y0 < box[1]
            if fits and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                placed.append((i, _Place(at=(x, y), right=right, up=up)))
                break
    return placed


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
