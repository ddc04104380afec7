"""Names inside a figure: at the ends of lines, or beside points; never cut off or on each other."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from bertedge.bench.html import canvas

ROOM = 118.0
"""Units right of the axes for names at the ends of lines."""
LINE = 14.0
"""Height of a line of text, in units."""
WIDEST = 0.45
"""Share of the figure's width that a name beside a point may take."""
_GAP = 10.0
Box = tuple[float, float, float, float]
"""Left, bottom, right, top, in units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A name and the point that it belongs to."""

    engine: int
    """Its number."""
    text: str
    x: float
    y: float
    """Both in data."""
    color: str
    """A name in `theme.SHADES`."""
    strong: bool


def at_ends(axes: Axes, labels: Sequence[Label]) -> None:
    """Write names right of the axes, each as near to its line's end as the others let it be.

    The axes' limits must be set, and their right margin be `ROOM`.
    """
    ordered = sorted(((_seen(axes, label)[1], label) for label in labels), key=lambda one: one[0])
    heights = spread([y for y, _ in ordered], axes.bbox.y0 - LINE / 2, axes.bbox.y1 + LINE)
    left = axes.bbox.x1 + _GAP
    for (_, label), y in zip(ordered, heights, strict=True):
        text = fit(label.text, canvas.WIDTH - left - 2, strong=label.strong)
        _write(axes, label, text, (left, y))


def beside(axes: Axes, labels: Sequence[Label], taken: Sequence[tuple[float, float]]) -> None:
    """Write names beside their points, off the points `taken` (in data) where there is room.

    A name is never outside the figure or on another name.
    """
    around = 6.0
    points = [axes.transData.transform(place) for place in taken]
    marks: list[Box] = [(x - around, y - around, x + around, y + around) for x, y in points]
    names: list[Box] = []
    for label in labels:
        text = fit(label.text, canvas.WIDTH * WIDEST, strong=label.strong)
        box = _free(_seen(axes, label), width(text, strong=label.strong), axes, names, marks)
        names.append(box)
        _write(axes, label, text, (box[0], (box[1] + box[3]) / 2))


def spread(wanted: Sequence[float], low: float, high: float) -> list[float]:
    """Move rising heights apart to a line of text each, within bounds, no further than needed."""
    step = min(LINE, (high - low) / max(len(wanted) - 1, 1))
    placed: list[float] = []
    for i, y in enumerate(wanted):
        least = low + i * step
        most = high - (len(wanted) - 1 - i) * step
        placed.append(min(max(y, least, placed[-1] + step if placed else low), most))
    # Names that were pushed up by those below them go back as far as those above let them.
    for i in range(len(placed) - 2, -1, -1):
        room = placed[i + 1] - step
        if placed[i] > wanted[i]:
            below = placed[i - 1] + step if i else low
            placed[i] = min(room, max(wanted[i], below))
    return placed


def fit(text: str, room: float, *, strong: bool) -> str:
    """Shorten a text until it is no wider than `room` units."""
    cut = text
    while len(cut) > 1 and width(cut, strong=strong) > room:
        cut = cut.removesuffix("…")[:-1] + "…"
    return cut


@cache
def width(text: str, *, strong: bool) -> float:
    """Measure a text in units, in a font that few are wider than."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    narrow = [letter for letter in text if unicodedata.east_asian_width(letter) not in "WF"]
    # A blank has no outline, and $ would begin a formula.
    rest = "".join("n" if letter.isspace() or letter == "$" else letter for letter in narrow)
    if not rest:
        return wide * canvas.SMALL
    font = FontProperties(family="DejaVu Sans", weight="bold" if strong else "normal")
    across = TextPath((0, 0), rest, size=canvas.SMALL, prop=font).get_extents().width
    return float(wide * canvas.SMALL + across + 2)


def _free(
    point: tuple[float, float],
    across: float,
    axes: Axes,
    names: Sequence[Box],
    marks: Sequence[Box],
) -> Box:
    """Choose the best box near a point: on no name, then on few points, then near."""
    x, y = point
    half = LINE / 2
    best: tuple[tuple[int, int, float], Box] | None = None
    for up in (0, 15, -15, 24, -24, 34, -34, 48, -48, 64, -64, 84, -84):
        for start in (x + 10, x - 10 - across, x - across / 2):
            left = max(min(max(start, axes.bbox.x0), canvas.WIDTH - 2 - across), 2.0)
            middle = min(max(y + up, axes.bbox.y0 + half), axes.bbox.y1 + half)
            box = (left, middle - half, left + across, middle + half)
            hidden = sum(_overlap(box, name) for name in names)
            score = (hidden, sum(_overlap(box, mark) for mark in marks), abs(up))
            if best is None or score < best[0]:
                best = (score, box)
    assert best
    return best[1]


def _seen(axes: Axes, label: Label) -> tuple[float, float]:
    x, y = axes.transData.transform((label.x, label.y))
    return float(x), float(y)


def _write(axes: Axes, label: Label, text: str, place: tuple[float, float]) -> None:
    words = axes.annotate(
        text, (label.x, label.y), xytext=place, textcoords="figure pixels", ha="left",
        va="center", fontsize=canvas.SMALL, color=canvas.ink(label.color), zorder=6,
        fontweight="bold" if label.strong else "normal", annotation_clip=False,
        arrowprops={"arrowstyle": "-", "lw": 0.7, "color": canvas.ink(label.color),
                    "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)},
    )  # fmt: skip
    canvas.mark(words, label.engine)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
