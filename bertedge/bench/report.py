"""The record of a bench: what `--json` writes."""

from dataclasses import dataclass

from bertedge.bench.engines import LeftOut
from bertedge.bench.environment import Environment
from bertedge.bench.settings import Settings
from bertedge.bench.statistics import Ratio, Summary
from bertedge.bundle import Accuracy
from bertedge.tasks import Task

SCHEMA = 1
"""Raised whenever a field is renamed, removed or changes its meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is compared."""

    bundle: str
    baseline: str
    task: Task
    labels: int
    max_length: int
    parameters: int
    same_source: bool
    """False where the bundle was made from another checkpoint than the baseline."""
    data: str | None
    """The file of the real texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """From starting the process to the first label; files were in the system's cache."""

    total_s: float
    process_s: float
    """The interpreter, and all else that the other parts leave."""
    imports_s: float
    load_s: float
    first_run_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Labels that are the baseline's too."""

    share: float
    labels: int
    """Compared: texts, or tokens where the task labels those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A workload, described."""

    name: str
    batch: int | None
    length: int | None
    """In tokens; None for real texts."""
    texts: int
    """Of one run."""
    repeats: int
    """Runs of a turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """One engine."""

    name: str
    kind: str
    device: str
    precision: str
    baseline: str | None
    runs_on: str | None
    bytes_on_disk: int
    peak_memory_bytes: int | None
    """Resident, of the whole process; None where the system does not tell."""
    cold_starts: tuple[ColdStart, ...]
    cold_start: ColdStart | None
    """The one with the median total."""
    on_texts: Agreement | None
    on_random_tokens: Agreement | None
    at_export: Accuracy | None
    """What export measured of this variant on labelled data."""
    problem: str | None
    """Why it has no or fewer figures, or cannot be trusted."""
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One engine at one workload."""

    engine: str
    workload: str
    latency: Summary
    """Of a run: one batch of the grid, one text, or all texts."""
    texts_per_second: float
    speedup: Ratio | None
    """Over the engine's baseline; None for a baseline and where that has no figures."""
    agreement: Agreement | None
    warm_up_runs: int
    settled: bool
    """False where warm-up ended before times had settled."""
    rounds: tuple[int, ...]
    """Numbers of the rounds that `rounds_ms` lists."""
    rounds_ms: tuple[tuple[float, ...], ...]
    """Every run that was timed, by round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole bench."""

    schema: int
    complete: bool
    """False where it was interrupted."""
    seconds: float
    environment: Environment
    comparison: Comparison
    settings: Settings
    workloads: tuple[Load, ...]
    engines: tuple[EngineReport, ...]
    results: tuple[Result, ...]
    left_out: tuple[LeftOut, ...]
