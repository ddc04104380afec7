"""How engines are drawn: in which colours on a light and a dark page, with which marker.

The hues are Okabe and Ito's (2008, "Color Universal Design"), each darkened for a light page and
lightened for a dark one until it stands out from it. No two engines differ by colour alone: they
have markers of their own too.
"""

from dataclasses import dataclass

from bertedge.bench import summary
from bertedge.bench.report import EngineReport, Report, Result

BASELINE = ("#5b6472", "#b3bcc8")
BUNDLE = (
    ("#0062b1", "#58aef5"),
    ("#2c94cf", "#a3dbff"),
    ("#4b4fb8", "#a5a8ff"),
    ("#127f8c", "#55ced9"),
)
PEERS = (
    ("#d55e00", "#ff8b3d"),
    ("#009e73", "#2bc796"),
    ("#b4559a", "#e391c8"),
    ("#b98000", "#f0b429"),
    ("#8c6240", "#c79d78"),
    ("#a11d33", "#ff7186"),
    ("#5e7d0a", "#a9c74a"),
    ("#7b4fc9", "#bb9bff"),
)
SHADES = {
    "page": ("#f7f7f5", "#0f1216"),
    "card": ("#ffffff", "#171b21"),
    "ink": ("#1b2230", "#e9edf3"),
    "muted": ("#5f6979", "#9aa5b4"),
    "line": ("#e3e6ea", "#2b323c"),
    "band": ("#cfd5dd", "#3a434f"),
    "good": ("#00755a", "#35c99f"),
    "bad": ("#b8460e", "#ff9058"),
    "accent": BUNDLE[0],
    **{f"part-{i}": shade for i, shade in enumerate((*BUNDLE[:2], *PEERS[:5]))},
    "other": ("#868f9c", "#79838f"),
}
"""Colours on a light and on a dark page, by the name of their CSS variable."""
MARKERS = (
    "M-.9,0A.9,.9,0,1,1,.9,0A.9,.9,0,1,1,-.9,0Z",
    "M-.8,-.8H.8V.8H-.8Z",
    "M0,-1L1,.8H-1Z",
    "M0,-1.1L1.1,0L0,1.1L-1.1,0Z",
    "M0,1L1,-.8H-1Z",
    "M-.3,-1H.3V-.3H1V.3H.3V1H-.3V.3H-1V-.3H-.3Z",
    "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z",
    "M0,-1L.95,-.31L.59,.81H-.59L-.95,-.31Z",
    "M-1,0L.8,-1V1Z",
    "M1,0L-.8,-1V1Z",
    "M0,-1L.87,-.5V.5L0,1L-.87,.5V-.5Z",
    "M0,-1L.24,-.32L.95,-.31L.38,.12L.59,.81L0,.4L-.59,.81L-.38,.12L-.95,-.31L-.24,-.32Z",
)
"""SVG paths within -1.1 to 1.1."""
_PRECISIONS = ("int8", "fp16", "bf16", "fp32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How an engine is drawn in every figure."""

    number: int
    """Its place in the report; its colour is the CSS variable `e0`, `e1`, ... on the page."""
    shade: tuple[str, str]
    """On a light and on a dark page."""
    marker: str
    strong: bool
    """True for the bundle's variants, which the eye should find first."""
    chosen: bool
    """True where a crowded figure points it out: the bundle's best variant, its baseline, the best
    of all others. The colour in such a figure is `m0`, `m1`, ..., grey for the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A report with the looks of its engines, by name."""

    report: Report
    looks: dict[str, Look]

    def of(self, workload: str) -> list[tuple[EngineReport, Result]]:
        """Return the engines that have figures at a workload."""
        found = self.report.at(workload)
        return [(each, found[each.name]) for each in self.report.engines if each.name in found]

    def shades(self) -> dict[str, tuple[str, str]]:
        """Return all colours of the page by the name of their CSS variable."""
        each = self.looks.values()
        crowded = {f"m{k.number}": k.shade if k.chosen else SHADES["other"] for k in each}
        return SHADES | {f"e{look.number}": look.shade for look in each} | crowded


def view_of(report: Report) -> View:
    """Return the report as its figures read it."""
    ours = sorted((e for e in report.engines if e.kind == "bundle"), key=_precision)
    peers = [e for e in report.engines if e.kind != "bundle" and e.baseline is not None]
    shades = {engine.name: BUNDLE[i % len(BUNDLE)] for i, engine in enumerate(ours)}
    shades |= {engine.name: PEERS[i % len(PEERS)] for i, engine in enumerate(peers)}
    chosen = _chosen(report)
    looks = {
        engine.name: Look(
            number=i,
            shade=shades.get(engine.name, BASELINE),
            marker=MARKERS[i % len(MARKERS)],
            strong=engine.kind == "bundle",
            chosen=engine.name in chosen,
        )
        for i, engine in enumerate(report.engines)
    }
    return View(report=report, looks=looks)


def _precision(engine: EngineReport) -> int:
    return _PRECISIONS.index(engine.precision) if engine.precision in _PRECISIONS else 4


def _chosen(report: Report) -> set[str | None]:
    load, best = summary.main_load(report), summary.best_variant(report)
    base = best.baseline if best else None
    base = base or next((each.name for each in report.engines if each.baseline is None), None)
    others = {each.name for each in report.engines if each.kind != "bundle"} - {base}
    rival = summary.fastest(report, load, others) if load else None
    return {best.name if best else None, base, rival.engine if rival else None}
