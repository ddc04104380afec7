"""From matplotlib to SVG that takes its colours and its font from the page.

matplotlib knows no CSS, so it draws with one stand-in colour for each shade; afterwards every
stand-in becomes `var(--name)`, or a colour of its own where the picture must stand alone.
"""

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from bertedge.bench.html.theme import SHADES, Look
from bertedge.bench.wording import number

WIDTH = 350
"""Units of a panel's width; a unit is about a pixel on a phone as on a desk."""
TEXT, SMALL = 12, 11
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', Helvetica, Arial, sans-serif"
_STAND_IN = {name: f"#fe{i:02x}01" for i, name in enumerate(SHADES)}
_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "bertedge",  # the same figure is the same file
    "text.parse_math": False,  # names may hold a $
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "lines.solid_capstyle": "round",
    "path.simplify": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """Room around the axes, in units."""

    left: float = 38
    right: float = 12
    top: float = 26
    bottom: float = 40


def ink(name: str) -> str:
    """Give matplotlib the stand-in for a shade."""
    return _STAND_IN[name]


def draw(
    paint: Callable[[Axes], None], *, label: str, height: float, margins: Margins | None = None
) -> str:
    """Let `paint` draw on axes with our style, and return the SVG; `label` is for screen readers.

    The style is in force while `paint` runs, and nowhere else.
    """
    room = margins or Margins()
    with rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        across, down = WIDTH - room.left - room.right, height - room.top - room.bottom
        box = (room.left / WIDTH, room.bottom / height, across / WIDTH, down / height)
        axes = figure.add_axes(box)
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(ink("band"))
        axes.tick_params(colors=ink("muted"), length=0, labelsize=SMALL, pad=5)
        paint(axes)
        return _svg(figure, label)


def grid(axes: Axes, axis: str) -> None:
    """Draw faint lines across one axis."""
    axes.grid(axis="y" if axis == "y" else "x", color=ink("line"), linewidth=1)


def title(axes: Axes, text: str) -> None:
    """Say above the axes what the vertical axis counts, and in what."""
    axes.set_title(text, loc="left", fontsize=SMALL, color=ink("muted"), pad=9, x=0)


def below(axes: Axes, text: str) -> None:
    """Say below the axes what the horizontal axis counts, and in what."""
    axes.set_xlabel(text, fontsize=SMALL, color=ink("muted"), labelpad=6)


def logarithmic(axes: Axes, axis: str, low: float, high: float) -> None:
    """Scale an axis by its logarithm, with plain numbers at 1, 2 and 5 of each power of ten."""
    scale, ticks = (axes.set_xscale, axes.xaxis) if axis == "x" else (axes.set_yscale, axes.yaxis)
    limits = axes.set_xlim if axis == "x" else axes.set_ylim
    scale("log")
    limits(low, high)
    subs = (1.0, 2.0, 5.0) if high / low < 200 else (1.0,)
    ticks.set_major_locator(LogLocator(subs=subs, numticks=20))
    ticks.set_minor_locator(NullLocator())
    ticks.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def ticks_at(axes: Axes, values: Sequence[float]) -> None:
    """Put the horizontal axis's ticks where there are figures."""
    axes.xaxis.set_major_locator(FixedLocator(sorted(values)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """Write a tick's number: 0.5, 2, 100, 20k."""
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"


def figure_of(value: float) -> str:
    """Write a measured number, three figures or so."""
    return number(value)


def mark(artist: Artist, engine: int) -> None:
    """Tie an artist to the engine of this number: the page can point it out."""
    artist.set_gid(f"engine-{engine}")


def swatch(look: Look) -> str:
    """Draw an engine's marker alone, for the legend of the page."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(14 / 72, 14 / 72), dpi=72)
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(-1, 1)
        axes.set_ylim(-1, 1)
        figure.patch.set_visible(False)
        axes.plot(0, 0, marker=look.marker, markersize=9, color=ink(look.color), mew=0)
        return _svg(figure, "")


def for_page(svg: str, name: str, engines: Sequence[str]) -> str:
    """Finish an SVG for the page: its variables, ids that no other figure has, engines' names."""
    svg = re.sub(r'\b(id="|url\(#|href="#)(?!engine-)', rf"\1{name}-", svg)
    svg = re.sub(
        r'<g id="engine-(\d+)">',
        lambda found: (
            f'<g data-engine="{found[1]}"><title>{html.escape(engines[int(found[1])])}</title>'
        ),
        svg,
    )
    svg = svg.replace(f"font-family: {FONT}", "font-family: inherit")
    return _colored(svg, {name: f"var(--{name})" for name in SHADES})


def alone(svg: str, *, dark: bool) -> str:
    """Finish an SVG that is a file of its own, for a light or a dark page."""
    svg = re.sub(r' id="engine-\d+"', "", svg)
    return _colored(svg, {n: shade.dark if dark else shade.light for n, shade in SHADES.items()})


def _svg(figure: Figure, label: str) -> str:
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", metadata=nothing)
    return _tidy(file.getvalue(), label)


def _colored(svg: str, colors: Mapping[str, str]) -> str:
    for name, stand_in in _STAND_IN.items():
        svg = svg.replace(stand_in, colors[name])
    return svg


def _tidy(svg: str, label: str) -> str:
    """Keep the drawing alone: no prologue, no metadata, no size of its own, a font list."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)
    svg = re.sub(r"font-family: 'DejaVu Sans'", f"font-family: {FONT}", svg)
    # What matplotlib sets for every element of whatever page it lands on.
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = svg.replace("<svg ", '<svg stroke-linejoin="round" ', 1)
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r"(\d\.\d\d)\d{3,}", r"\1", svg)
    return svg.strip() + "\n"
