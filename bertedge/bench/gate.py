"""Conditions that a bench must meet, for CI: `p95_ms<5,agreement>=0.99,speedup>=3`.

A condition is about the bundle's best variant, at every workload; `name@WHERE` narrows it to a
workload, to an engine, or with two `@` to both: `p95_ms@cpu-int8@1x128<5`.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from bertedge.bench import summary
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import EngineReport, Report, Result
from bertedge.bench.wording import number
from bertedge.errors import SettingError

MIB = 2**20
OF_A_WORKLOAD: dict[str, Callable[[Result], float | None]] = {
    "p50_ms": lambda result: result.latency.p50_ms,
    "p90_ms": lambda result: result.latency.p90_ms,
    "p95_ms": lambda result: result.latency.p95_ms,
    "p99_ms": lambda result: result.latency.p99_ms,
    "max_ms": lambda result: result.latency.max_ms,
    "mean_ms": lambda result: result.latency.mean_ms,
    "texts_per_second": lambda result: result.texts_per_second,
    "speedup": lambda result: result.speedup.median if result.speedup else None,
    "speedup_low": lambda result: result.speedup.low if result.speedup else None,
}
OF_AN_ENGINE: dict[str, Callable[[Report, EngineReport], float | None]] = {
    "agreement": lambda _, engine: summary.agreement(engine),
    "text_agreement": lambda _, engine: summary.text_agreement(engine),
    "accuracy": lambda _, engine: _metric(engine, "accuracy"),
    "entity_f1": lambda _, engine: _metric(engine, "entity_f1"),
    "frame_accuracy": lambda _, engine: _metric(engine, "frame_accuracy"),
    "answer_f1": lambda _, engine: _metric(engine, "answer_f1"),
    "cold_start_s": lambda _, engine: engine.cold_start.total_s if engine.cold_start else None,
    "peak_memory_mib": lambda _, engine: _mib(engine.peak_memory_bytes),
    "disk_mib": lambda _, engine: _mib(engine.bytes_on_disk),
    "installed_mib": lambda _, engine: _mib(engine.installed_bytes),
    "idle_cpu": lambda _, engine: engine.idle_cpu,
    "max_rate_per_s": lambda report, engine: next(
        (load.max_rate_within_slo for load in report.open_loads if load.engine == engine.name), None
    ),
}
OF_TIME = (*OF_A_WORKLOAD, "cold_start_s", "max_rate_per_s")
"""Figures that decide nothing where the bench's times are not reliable."""
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_PATTERN = re.compile(r"(\w+)((?:@[^@<>=,]+)*)(<=|>=|<|>)(\d+(?:\.\d*)?|\.\d+)(%?)")


class GateError(SettingError):
    """A gate that says nothing about this or any bench: malformed, or of unknown names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition, as it was typed and in parts."""

    text: str
    name: str
    where: tuple[str, ...]
    """Names of a workload, an engine, or one of each."""
    compare: str
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One figure held against one condition."""

    condition: str
    name: str
    place: str
    """The engine, and the workload where the figure is of one."""
    value: float | None
    """None where it was not measured; the condition does not hold then."""
    holds: bool
    trouble: str | None = None
    """What else is wrong with the engine."""
    unreliable: str | None = None
    """Why the figure decides nothing; None where it decides."""

    @property
    def fails(self) -> bool:
        """Tell whether the condition is not met, for sure."""
        return not self.holds and self.unreliable is None


def parse_gate(text: str) -> tuple[Condition, ...]:
    """Read conditions with commas between; GateError for the first that is none."""
    return tuple(_parse(part.strip()) for part in text.split(","))


def judge(report: Report, conditions: tuple[Condition, ...]) -> list[Finding]:
    """Hold a report against conditions; GateError where one is about an unknown place.

    Where the bench's times are not reliable, conditions on time are inconclusive.
    """
    why = unreliable(report)
    found = [finding for condition in conditions for finding in _judge(report, condition)]
    # What is missing or of a broken engine fails on a quiet machine too.
    return [
        replace(each, holds=False, unreliable=why)
        if why and each.name in OF_TIME and each.value is not None and not each.trouble
        else each
        for each in found
    ]


def gate_lines(findings: list[Finding]) -> list[str]:
    """Write each finding, those that fail marked."""
    lines = []
    for finding in findings:
        value = "not measured" if finding.value is None else f"{number(finding.value)}"
        trouble = f" ({finding.trouble})" if finding.trouble else ""
        sign = "pass" if finding.holds else "inconclusive" if finding.unreliable else "FAIL"
        lines.append(
            f"{sign}  {finding.condition}: {finding.name} is {value} for {finding.place}{trouble}"
        )
    reasons = {finding.unreliable for finding in findings if finding.unreliable}
    lines += [f"times decide nothing, they are not reliable: {reason}" for reason in reasons]
    return lines


def _parse(text: str) -> Condition:
    found = _PATTERN.fullmatch(re.sub(r"\s*(@|<=|>=|<|>)\s*", r"\1", text))
    known = ", ".join((*OF_A_WORKLOAD, *OF_AN_ENGINE))
    if found is None:
        raise GateError(
            f"{text!r} is no condition; give name<number (or <=, >, >=); names are {known}"
        )
    name, places, compare, bound, percent = found.groups()
    if name not in OF_A_WORKLOAD and name not in OF_AN_ENGINE:
        raise GateError(f"{name!r} is no figure of bench; choose one of {known}")
    where = tuple(place.strip() for place in places.split("@")[1:])
    if len(where) > 2:
        raise GateError(f"{text!r} names {len(where)} places; give an engine, a workload, or both")
    return Condition(
        text=text,
        name=name,
        where=where,
        compare=compare,
        bound=float(bound) / (100 if percent else 1),
    )


def _judge(report: Report, condition: Condition) -> list[Finding]:
    engines = {engine.name: engine for engine in report.engines}
    workloads = [load.name for load in report.workloads]
    for place in condition.where:
        if place not in engines and place not in workloads:
            raise GateError(
                f"{condition.text!r}: no engine or workload is called {place!r}; there are "
                + ", ".join([*engines, *workloads])
            )
    named = [engines[place] for place in condition.where if place in engines]
    narrowed = [place for place in condition.where if place in workloads]
    engine = named[0] if named else summary.best_variant(report)
    if engine is None:
        return [_finding(condition, "the bundle, no variant of which could be measured", None)]
    trouble = engine.problem
    if condition.name in OF_AN_ENGINE and (condition.name != "agreement" or not narrowed):
        if narrowed:
            raise GateError(f"{condition.text!r}: {condition.name} is of an engine as a whole")
        value = OF_AN_ENGINE[condition.name](report, engine)
        return [_finding(condition, engine.name, value, trouble)]
    results = {result.workload: result for result in report.results if result.engine == engine.name}
    return [
        _finding(
            condition,
            f"{engine.name} at {name}",
            _at(results[name], condition.name) if name in results else None,
            trouble,
        )
        for name in narrowed or workloads
    ]


def _at(result: Result, name: str) -> float | None:
    if name == "agreement":
        return result.agreement.share if result.agreement else None
    return OF_A_WORKLOAD[name](result)


def _finding(
    condition: Condition, place: str, value: float | None, trouble: str | None = None
) -> Finding:
    holds = value is not None and _COMPARE[condition.compare](value, condition.bound)
    return Finding(
        condition=condition.text,
        name=condition.name,
        place=place,
        value=value,
        holds=holds and trouble is None,
        trouble=trouble,
    )


def _metric(engine: EngineReport, name: str) -> float | None:
    found = engine.labelled
    return found.value if found and found.metric == name else None


def _mib(size: int | None) -> float | None:
    return None if size is None else size / MIB
