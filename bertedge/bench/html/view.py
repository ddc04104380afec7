"""A report, looked up by engine and workload, as the figures need it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bertedge.bench import sentences
from bertedge.bench.html.theme import Look, looks
from bertedge.bench.report import EngineReport, Load, Report, Result
from bertedge.bench.statistics import CONFIDENCE, RESAMPLES

MIB = 2**20
GREY = "part-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One entry of a figure's own legend."""

    color: str
    """A name in `theme.SHADES`."""
    text: str
    look: Look | None = None
    """Of an engine, whose marker is shown then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One figure with its words."""

    name: str
    """For ids and links."""
    title: str
    caption: str
    svg: str | None
    """None where there is nothing to draw."""
    missing: str = ""
    """What to do to get it, then."""
    legend: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A median and the ends of its bootstrap interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the figures draw from."""

    report: Report
    looks: dict[str, Look]
    results: dict[tuple[str, str], Result]
    """By engine and workload."""
    chosen: tuple[str, ...]
    """Engines that a crowded figure points out: the bundle's best variant, its baseline, the best
    of all others; the rest is grey."""

    def of(self, workload: str) -> list[tuple[int, EngineReport, Result]]:
        """List who has figures at a workload, with the numbers of the engines."""
        return [
            (i, engine, self.results[engine.name, workload])
            for i, engine in enumerate(self.report.engines)
            if (engine.name, workload) in self.results
        ]


def view_of(report: Report) -> View:
    """Prepare a report."""
    results = {(result.engine, result.workload): result for result in report.results}
    return View(
        report=report,
        looks=looks(report.engines),
        results=results,
        chosen=_chosen(report, results),
    )


def keys(view: View) -> tuple[Key, ...]:
    """Make a legend of all engines."""
    return tuple(
        Key(color=view.looks[engine.name].color, text=engine.name, look=view.looks[engine.name])
        for engine in view.report.engines
        if any(name == engine.name for name, _ in view.results)
    )


def chosen_keys(view: View) -> tuple[Key, ...]:
    """Make a legend of the engines that a crowded figure points out."""
    rest = {name for name, _ in view.results} - set(view.chosen)
    named = [Key(color=view.looks[name].color, text=name) for name in view.chosen]
    return (*named, *([Key(color=GREY, text=sentences.count(len(rest), "other"))] if rest else []))


def _chosen(report: Report, results: dict[tuple[str, str], Result]) -> tuple[str, ...]:
    load, best = sentences.main_load(report), sentences.best_variant(report)
    baselines = [engine.name for engine in report.engines if engine.baseline is None]
    base = best.baseline if best and best.baseline else next(iter(baselines), None)
    rivals = {
        engine.name: results[engine.name, load.name].latency.p50_ms
        for engine in report.engines
        if load and not engine.problem and engine.kind != "bundle" and engine.name != base
        if (engine.name, load.name) in results
    }
    rival = min(rivals, key=lambda name: rivals[name], default=None)
    return tuple(name for name in (best.name if best else None, base, rival) if name)


def load_name(load: Load) -> str:
    """Name a workload for people who did not type the command."""
    if load.length is None:
        return "one text at a time" if load.texts == 1 else f"all {load.texts:,} texts at once"
    return f"{sentences.count(load.texts, 'row')} of {load.length} tokens"


def median_interval(rounds_ms: Sequence[Sequence[float]]) -> Interval:
    """Give the median over rounds of the rounds' medians; the interval resamples rounds."""
    medians = np.array([np.median(turn) for turn in rounds_ms])
    picks = np.random.default_rng(0).integers(0, medians.size, size=(RESAMPLES, medians.size))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.median(medians[picks], axis=1), [tail, 1 - tail])
    return Interval(median=float(np.median(medians)), low=float(low), high=float(high))


def accuracy_name(metric: str) -> str:
    """Write a metric for people."""
    return {"entity_f1": "entity F1"}.get(metric, metric.replace("_", " "))
