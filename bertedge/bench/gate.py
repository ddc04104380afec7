"""Conditions that a bench must meet, for CI: `p95_ms<5,agreement>=0.99,speedup>=3`.

A condition is about the bundle's best variant, at every workload; `name@WHERE` narrows it to a
workload, to an engine, or with two `@` to both: `p95_ms@cpu-int8@1x128<5`.
"""

import operator
import re
from dataclasses import dataclass

from bertedge.bench import summary
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import EngineReport, Report, field_at
from bertedge.bench.wording import MIB, number
from bertedge.errors import SettingError

OF_A_WORKLOAD = {
    **{f"{each}_ms": f"latency.{each}_ms" for each in ("p50", "p90", "p95", "p99", "max", "mean")},
    "texts_per_second": "texts_per_second",
    "speedup": "speedup.median",
    "speedup_low": "speedup.low",
}
"""Fields of a `Result`, by the name of the figure."""
METRICS = ("accuracy", "entity_f1", "frame_accuracy", "answer_f1")
OF_AN_ENGINE = {
    "agreement": "agreement",
    "text_agreement": "text_agreement",
    **dict.fromkeys(METRICS, "labelled.value"),
    "cold_start_s": "cold_start.total_s",
    "peak_memory_mib": "peak_memory_bytes",
    "disk_mib": "bytes_on_disk",
    "installed_mib": "installed_bytes",
    "idle_cpu": "idle_cpu",
    "max_rate_per_s": "max_rate_within_slo",
}
"""Fields of an `EngineReport`, or of its `OpenLoad`."""
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

    condition: Condition
    place: str
    """The engine, and the workload where the figure is of one."""
    value: float | None
    """None where it was not measured; the condition does not hold then."""
    trouble: str | None = None
    """What else is wrong with the engine."""
    unreliable: str | None = None
    """Why the figure decides nothing; None where it decides."""

    @property
    def holds(self) -> bool:
        """Return whether the condition is met, for sure."""
        if self.value is None or self.trouble or self.unreliable:
            return False
        return bool(_COMPARE[self.condition.compare](self.value, self.condition.bound))

    @property
    def fails(self) -> bool:
        """Return whether the condition is not met, for sure."""
        return not self.holds and self.unreliable is None


def parse_gate(text: str) -> tuple[Condition, ...]:
    """Read conditions with commas between; GateError for the first that is none."""
    return tuple(_parse(part.strip()) for part in text.split(","))


def judge(report: Report, conditions: tuple[Condition, ...]) -> list[Finding]:
    """Hold a report against conditions; GateError where one is about an unknown place.

    Where the bench's times are not reliable, conditions on time are inconclusive; what is missing
    or of a broken engine fails on a quiet machine too.
    """
    why, findings = unreliable(report), []
    for condition in conditions:
        engine, values = _figures(report, condition)
        trouble = engine.problem if engine else None
        for place, value in values.items():
            unsure = condition.name in OF_TIME and value is not None and not trouble
            findings.append(
                Finding(
                    condition=condition,
                    place=place,
                    value=value,
                    trouble=trouble,
                    unreliable=why if unsure else None,
                )
            )
    return findings


def gate_lines(findings: list[Finding]) -> list[str]:
    """Write each finding, those that fail marked."""
    lines = []
    for each in findings:
        value = "not measured" if each.value is None else number(each.value)
        trouble = f" ({each.trouble})" if each.trouble else ""
        sign = "pass" if each.holds else "inconclusive" if each.unreliable else "FAIL"
        what = f"{each.condition.text}: {each.condition.name}"
        lines.append(f"{sign}  {what} is {value} for {each.place}{trouble}")
    reasons = {each.unreliable for each in findings if each.unreliable}
    return lines + [f"times decide nothing, they are not reliable: {why}" for why in reasons]


def _parse(text: str) -> Condition:
    found = _PATTERN.fullmatch(re.sub(r"\s*(@|<=|>=|<|>)\s*", r"\1", text))
    known = ", ".join((*OF_A_WORKLOAD, *OF_AN_ENGINE))
    if found is None:
        raise GateError(
            f"{text!r} is no condition; give name<number (or <=, >, >=); names are {known}"
        )
    name, places, compare, number, percent = found.groups()
    if name not in OF_A_WORKLOAD and name not in OF_AN_ENGINE:
        raise GateError(f"{name!r} is no figure of bench; choose one of {known}")
    where = tuple(place.strip() for place in places.split("@")[1:])
    if len(where) > 2:
        raise GateError(f"{text!r} names {len(where)} places; give an engine, a workload, or both")
    bound = float(number) / (100 if percent else 1)
    return Condition(text=text, name=name, where=where, compare=compare, bound=bound)


def _figures(
    report: Report, condition: Condition
) -> tuple[EngineReport | None, dict[str, float | None]]:
    """Return the engine that a condition is about and its figures by place."""
    engines, workloads = report.by_name, [load.name for load in report.workloads]
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
        return None, {"the bundle, no variant of which could be measured": None}
    path = OF_A_WORKLOAD.get(condition.name)
    if condition.name == "agreement" and narrowed:
        path = "agreement.share"
    if path is None:
        if narrowed:
            raise GateError(f"{condition.text!r}: {condition.name} is of an engine as a whole")
        return engine, {engine.name: _of_engine(report, engine, condition.name)}
    at = {place: report.at(place).get(engine.name) for place in narrowed or workloads}
    return engine, {f"{engine.name} at {each}": field_at(at[each], path) for each in at}


def _of_engine(report: Report, engine: EngineReport, name: str) -> float | None:
    if name in METRICS and field_at(engine, "labelled.metric") != name:
        return None
    source: object = engine
    if name == "max_rate_per_s":
        source = next((load for load in report.open_loads if load.engine == engine.name), None)
    value: float | None = field_at(source, OF_AN_ENGINE[name])
    return value / MIB if value is not None and name.endswith("_mib") else value
