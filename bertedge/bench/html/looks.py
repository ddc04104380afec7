"""How engines are drawn: in which colours on a light and a dark page, with which marker.

No two engines differ by colour alone: they have markers of their own too.
"""

from dataclasses import dataclass

from bertedge.bench import summary
from bertedge.bench.report import EngineReport, Report, Result
from bertedge.html.shades import BASELINE, BUNDLE, PEERS, SHADES

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
