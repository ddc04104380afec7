"""A report as its figures read it: who has figures where, in which colour, with which marker.

The hues are Okabe and Ito's (2008, "Color Universal Design"), each darkened for a light page and
lightened for a dark one until it stands out from it. No two engines differ by colour alone: they
have markers of their own too.
"""

from dataclasses import dataclass

from bertedge.bench import summary
from bertedge.bench.report import EngineReport, Load, Report, Result
from bertedge.bench.wording import count

SHADES = {
    "page": ("#f7f7f5", "#0f1216"),
    "card": ("#ffffff", "#171b21"),
    "ink": ("#1b2230", "#e9edf3"),
    "muted": ("#5f6979", "#9aa5b4"),
    "line": ("#e3e6ea", "#2b323c"),
    "band": ("#cfd5dd", "#3a434f"),
    "good": ("#00755a", "#35c99f"),
    "bad": ("#b8460e", "#ff9058"),
    "accent": ("#0062b1", "#58aef5"),
    "part-1": ("#0062b1", "#58aef5"),
    "part-2": ("#cf7b00", "#f0a52e"),
    "part-3": ("#009e73", "#2bc796"),
    "part-4": ("#b4559a", "#e391c8"),
    "part-5": ("#3b94cb", "#a3dbff"),
    "part-6": ("#c4500a", "#ff8b3d"),
    "part-7": ("#8c6240", "#c79d78"),
    "other": ("#868f9c", "#79838f"),
}
"""Colours on a light and on a dark page, by the name of their CSS variable."""
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
    """A report with what its figures look up."""

    report: Report
    looks: dict[str, Look]
    """By engine."""
    results: dict[tuple[str, str], Result]
    """By engine and workload."""

    def of(self, workload: str) -> list[tuple[EngineReport, Look, Result]]:
        """Return the engines that have figures at a workload."""
        return [
            (engine, self.looks[engine.name], self.results[engine.name, workload])
            for engine in self.report.engines
            if (engine.name, workload) in self.results
        ]

    def shades(self) -> dict[str, tuple[str, str]]:
        """Return all colours of the page by the name of their CSS variable."""
        each = self.looks.values()
        crowded = {f"m{k.number}": k.shade if k.chosen else SHADES["other"] for k in each}
        return SHADES | {f"e{look.number}": look.shade for look in each} | crowded


def view_of(report: Report) -> View:
    """Return the report as its figures read it."""
    results = {(result.engine, result.workload): result for result in report.results}
    ours = sorted((e for e in report.engines if e.kind == "bundle"), key=_precision)
    peers = [e for e in report.engines if e.kind != "bundle" and e.baseline is not None]
    shades = {engine.name: BUNDLE[i % len(BUNDLE)] for i, engine in enumerate(ours)}
    shades |= {engine.name: PEERS[i % len(PEERS)] for i, engine in enumerate(peers)}
    chosen = _chosen(report, results)
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
    return View(report=report, looks=looks, results=results)


def _precision(engine: EngineReport) -> int:
    return _PRECISIONS.index(engine.precision) if engine.precision in _PRECISIONS else 4


def _chosen(report: Report, results: dict[tuple[str, str], Result]) -> set[str]:
    load, best = summary.main_load(report), summary.best_variant(report)
    baselines = [engine.name for engine in report.engines if engine.baseline is None]
    base = best.baseline if best and best.baseline else next(iter(baselines), None)
    rivals = {
        engine.name: results[engine.name, load.name].latency.p50_ms
        for engine in report.engines
        if load and not engine.problem and engine.kind != "bundle" and engine.name != base
        if (engine.name, load.name) in results
    }
    rival = min(rivals, key=lambda name: rivals[name], default=None)
    return {name for name in (best.name if best else None, base, rival) if name}


def load_name(load: Load) -> str:
    """Return the name of a workload for people who did not type the command."""
    if load.length is None:
        return "one text at a time" if load.texts == 1 else f"all {load.texts:,} texts at once"
    return f"{count(load.texts, 'row')} of {load.length} tokens"
