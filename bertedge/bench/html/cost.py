"""Figures of what it costs: accuracy, cold start, operators, sizes, memory."""

from collections.abc import Callable

from matplotlib.axes import Axes

from bertedge.bench.html import canvas, labels
from bertedge.bench.html.theme import PARTS
from bertedge.bench.html.view import (
    MIB,
    Key,
    Panel,
    View,
)
from bertedge.bench.report import EngineReport

PITCH, THICK = 31.0, 10.0
"""A row of a bar chart: the name stands above its bar, so that long names need no margin."""
_STARTS = (
    ("process_s", "interpreter and the rest"),
    ("imports_s", "imports"),
    ("load_s", "model and session"),
    ("first_run_s", "first run"),
)


def cold_start(view: View) -> Panel:
    """From starting the process to its first label."""
    rows = [
        (engine, [getattr(engine.cold_start, name) for name, _ in _STARTS])
        for engine in view.report.engines
        if engine.cold_start
    ]
    names = [(engine.name, f"{sum(parts):.2f} s") for engine, parts in rows]
    return Panel(
        name="cold-start",
        title="Cold start to first label",
        caption="From starting the process, files in the system's cache: the start with the "
        "median total.",
        svg=_stacks(names, [p for _, p in rows], [PARTS[i] for i in (7, 4, 0, 1)], "seconds")
        if rows
        else None,
        missing="No engine started.",
        legend=tuple(
            Key(color=PARTS[i], text=text)
            for i, (_, text) in zip((7, 4, 0, 1), _STARTS, strict=True)
        ),
    )


def operators(view: View) -> Panel:
    """Where the time of a graph goes, before and after fusion and int8."""
    profiles = view.report.profiles
    total: dict[str, float] = {}
    for profile in profiles:
        for operator in profile.operators:
            total[operator.name] = total.get(operator.name, 0.0) + operator.ms
    top = sorted(total, key=lambda name: -total[name])[: len(PARTS) - 1]
    colors = [*PARTS[: len(top)], PARTS[-1]]
    parts = []
    for profile in profiles:
        ms = {operator.name: operator.ms for operator in profile.operators}
        named = [ms.get(name, 0.0) for name in top]
        parts.append([*named, max(profile.total_ms - sum(named), 0.0)])
    several = len({profile.workload for profile in profiles}) > 1
    names = [
        (
            f"{profile.stage}" + (f", {profile.workload}" if several else ""),
            f"{canvas.figure_of(profile.total_ms)} ms",
        )
        for profile in profiles
    ]
    where = profiles[0].workload if profiles else ""
    return Panel(
        name="operators",
        title="Where the time goes, by operator",
        caption=f"{'' if several else f'A run of {where}, '}from onnxruntime's own profile, which "
        "slows a run down: compare shares, not totals, with the latencies.",
        svg=_stacks(names, parts, colors, "ms a run") if profiles else None,
        missing="No profile was taken: measure again with this version, without --quick.",
        legend=tuple(
            Key(color=color, text=name)
            for color, name in zip(colors, [*top, "all other"], strict=True)
        ),
    )


def sizes(view: View) -> list[Panel]:
    """On disk, installed, in memory."""
    return [
        _size(
            view,
            name="on-disk",
            title="On disk",
            caption="Weights or graph, tokenizer, config or manifest.",
            of=lambda engine: engine.bytes_on_disk,
        ),
        _size(
            view,
            name="installed",
            title="Installed packages",
            caption="All that the engine needs beside Python itself.",
            of=lambda engine: engine.installed_bytes,
            missing="Not recorded; measure again with this version.",
        ),
        _size(
            view,
            name="peak-memory",
            title="Peak memory",
            caption="Largest resident size of the whole process over all workloads.",
            of=lambda engine: engine.peak_memory_bytes,
            missing="This system does not tell a process's memory.",
        ),
    ]


def memory(view: View) -> Panel:
    """Resident memory over time."""
    series = [(i, e) for i, e in enumerate(view.report.engines) if len(e.memory) > 1]

    def paint(axes: Axes) -> None:
        for i, engine in series:
            look = view.looks[engine.name]
            (line,) = axes.plot(
                [point.at_s for point in engine.memory],
                [point.resident_bytes / MIB for point in engine.memory],
                color=canvas.ink(look.color), marker=look.marker,
                markersize=5.5 if look.strong else 4, markeredgecolor=canvas.ink("card"),
                markeredgewidth=0.6, lw=2.4 if look.strong else 1.4,
                zorder=4 if look.strong else 3,
            )  # fmt: skip
            canvas.mark(line, i)
        axes.set_ylim(0)
        canvas.grid(axes, "y")
        canvas.title(axes, "resident, MiB")
        canvas.below(axes, "seconds since the process was started")
        labels.at_ends(axes, [_end(view, i, engine) for i, engine in series])

    return Panel(
        name="memory",
        title="Memory over time",
        caption="After loading and after each workload, of the process that was timed.",
        svg=canvas.draw(
            paint,
            label="Resident memory over time, by engine",
            height=270,
            margins=canvas.Margins(right=labels.ROOM),
        )
        if series
        else None,
        missing="Not recorded; measure again with this version.",
    )


def _end(view: View, number: int, engine: EngineReport) -> labels.Label:
    last, look = engine.memory[-1], view.looks[engine.name]
    return labels.Label(
        engine=number, text=engine.name, x=last.at_s, y=last.resident_bytes / MIB,
        color=look.color, strong=look.strong,
    )  # fmt: skip


def _size(
    view: View,
    *,
    name: str,
    title: str,
    caption: str,
    of: Callable[[EngineReport], int | None],
    missing: str = "",
) -> Panel:
    rows = [
        (i, engine, size / MIB)
        for i, engine in enumerate(view.report.engines)
        if (size := of(engine)) is not None
    ]

    def paint(axes: Axes) -> None:
        for row, (i, engine, size) in enumerate(rows):
            look = view.looks[engine.name]
            y = row * PITCH
            label(axes, y, engine.name, f"{canvas.figure_of(size)} MiB", strong=look.strong)
            (bar,) = axes.barh(y + 22, size, height=THICK, color=canvas.ink(look.color))
            canvas.mark(bar, i)
        axes.set_xlim(0, max(size for _, _, size in rows))
        frame(axes, len(rows))
        canvas.below(axes, "MiB")

    height = len(rows) * PITCH + 44
    return Panel(
        name=name,
        title=title,
        caption=caption,
        svg=canvas.draw(paint, label=f"{title} in MiB, by engine", height=height, margins=MARGINS)
        if rows
        else None,
        missing=missing,
    )


MARGINS = canvas.Margins(left=8, right=12, top=4, bottom=36)


def _stacks(
    names: list[tuple[str, str]], parts: list[list[float]], colors: tuple[str, ...] | list[str],
    unit: str,
) -> str:  # fmt: skip
    """Draw stacked bars, one a row: `names` are what stands above each, left and right.

    A bar that would leave the others no room is cut off, and said to be.
    """
    limit = _limit([sum(values) for values in parts])

    def paint(axes: Axes) -> None:
        for row, ((name, total), values) in enumerate(zip(names, parts, strict=True)):
            y = row * PITCH
            beyond = " (beyond the axis)" if sum(values) > limit else ""
            label(axes, y, name, total + beyond, strong=False)
            left = 0.0
            for value, color in zip(values, colors, strict=True):
                axes.barh(
                    y + 22, value, left=left, height=THICK, color=canvas.ink(color),
                    edgecolor=canvas.ink("card"), linewidth=0.6,
                )  # fmt: skip
                left += value
        axes.set_xlim(0, limit)
        frame(axes, len(names))
        canvas.below(axes, unit)

    spoken = "; ".join(f"{name} {total}" for name, total in names)
    return canvas.draw(paint, label=spoken, height=len(names) * PITCH + 44, margins=MARGINS)


def _limit(totals: list[float]) -> float:
    """Choose where the axis ends: at the longest bar that is not three times the next."""
    longest = sorted(totals, reverse=True)
    while len(longest) > 3 and longest[0] > 3 * longest[1]:
        longest = longest[1:]
    return longest[0] * (1 if longest[0] == max(totals) else 1.1)


def label(axes: Axes, y: float, name: str, value: str, *, strong: bool) -> None:
    """Write a name and a figure above the bar whose row begins at `y`."""
    across = axes.get_yaxis_transform()
    weight = "bold" if strong else "normal"
    taken = labels.width(value, strong=strong) + 8
    room = (axes.bbox.width - taken * canvas.TEXT / canvas.SMALL) * canvas.SMALL / canvas.TEXT
    name = labels.fit(name, room, strong=strong)
    axes.text(
        0, y + 12, name, transform=across, fontsize=canvas.TEXT, color=canvas.ink("ink"),
        fontweight=weight,
    )  # fmt: skip
    axes.text(
        1, y + 12, value, transform=across, fontsize=canvas.TEXT, color=canvas.ink("ink"),
        ha="right", fontweight=weight,
    )  # fmt: skip


def frame(axes: Axes, count: int) -> None:
    """Make room for so many rows, counted from the top."""
    axes.set_ylim(count * PITCH + 4, 0)
    axes.set_yticks([])
    canvas.grid(axes, "x")
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda value, _: canvas.short(value))
