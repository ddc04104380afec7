"""The record of a bench: what `--json` writes."""

from dataclasses import dataclass
from typing import Any

from bertedge.bench.config import ScenarioConfig
from bertedge.bench.statistics import Difference, Ratio, Summary
from bertedge.bundle import Accuracy
from bertedge.spec import Task

SCHEMA = 1
"""Raised whenever a field is renamed, removed or changes its meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where and with what."""

    created: str
    """UTC, ISO 8601."""
    system: str
    python: str
    cpu: str
    cores: int
    """That this process may use, by its control group's quota and its affinity."""
    host_cores: int | None
    """Of the whole machine."""
    cpu_flags: tuple[str, ...]
    """Of those that matter to int8 and bf16."""
    governor: str | None
    """Of the CPU's frequency, such as "performance"; None where it cannot be read."""
    memory_bytes: int | None
    load: float | None
    """Processes that wanted to run in the minute before, on average."""
    versions: dict[str, str]
    git_commit: str | None
    """Of bertedge's own working tree, "-dirty" where that differs; None where installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuUse:
    """What else the machine did during one part of a bench."""

    where: str
    """"before" (the second before the first cold start), "warm-up", "round N", "extra rounds" or
    "after" (labelled data and open load)."""
    seconds: float
    other_cores: float | None
    """Cores that processes other than bench's took on average, what the hypervisor took away
    included; None where the system does not tell."""
    load: float | None
    """At its end: processes that wanted to run in the minute before, bench's own included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleWait:
    """The wait for a quiet machine that was asked for."""

    limit_s: float
    waited_s: float
    quiet: bool
    """False where the machine was not quiet within the limit, and was measured all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPoint:
    """The memory of an engine's process at one moment."""

    where: str
    """"start" (the model is loaded and has labelled one text), "warm-up WORKLOAD", "round N" or
    "open load": what has just ended."""
    at_s: float
    """Since the process was started."""
    resident_bytes: int
    peak_bytes: int
    """Largest resident size until then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPoint:
    """Texts that arrive at random times at one rate, labelled one at a time, first come first."""

    offered_per_s: float
    achieved_per_s: float
    """Texts over the time from the beginning to the last answer."""
    texts: int
    p50_ms: float
    """All five from a text's intended arrival to its answer, its wait in line included: a slow
    engine cannot put off the arrivals (no coordinated omission)."""
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    saturated: bool
    """True where answers came at less than 95 % of the rate of arrivals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoad:
    """Latency of one engine against the rate at which texts arrive."""

    engine: str
    workload: str
    """The workload whose inputs arrive, one at a time."""
    seed: int
    unloaded_p50_ms: float
    """Of the same inputs without waiting."""
    limit_ms: float
    """The latency limit: five times the baseline's unloaded median, the same for all engines. Were
    it of each engine's own, the pauses of a few ms that any system has would rule out the fastest
    first."""
    max_rate_within_slo: float | None
    """Max. rate within the latency limit: the highest rate offered at which the 99th percentile
    stayed within `limit_ms`; None where it did at none."""
    points: tuple[LoadPoint, ...]
    """At rising rates; they end at the first that is saturated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """All nodes of one operator together."""

    name: str
    """As onnxruntime runs it, after its own fusions at load."""
    calls: int
    """A run."""
    ms: float
    """A run."""
    share: float
    """Of all operators' time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Where the time of a graph goes, from onnxruntime's own profiler."""

    graph: str
    """The variant, or "exported"."""
    stage: str
    """"exported" (as it leaves PyTorch), "fused" or "int8"."""
    workload: str
    """Such as "1x128"."""
    runs: int
    total_ms: float
    """Of all operators, a run; the profiler itself makes runs slower than a timed one."""
    operators: tuple[OperatorTime, ...]
    """Longest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An engine that is not run."""

    name: str
    why: str
    fix: str | None = None
    """The command that would bring it, where one would."""


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
    """Of the labels; of embeddings the mean cosine."""
    labels: int
    """Compared: texts, or words where the task tags those; rows or tokens of random ones."""
    texts: float | None = None
    """Share of the texts whose whole list of entities (and intent) is the baseline's too; None
    where the task labels no tokens, and of random tokens."""


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
class Labelled:
    """An engine on labelled data."""

    data: str
    """Name of the file."""
    metric: str
    """"accuracy", "entity_f1", "frame_accuracy" or "answer_f1"."""
    value: float
    rows: int
    """Of the file, drawn as the workloads' texts are."""
    agreement: float | None
    """Share of labels (of texts, or of words) that are the baseline's too; None for a baseline."""
    low: float | None = None
    """Lower end of the 95 % interval of `value`, rows resampled; None where not known."""
    high: float | None = None
    text_agreement: float | None = None
    """Share of texts whose whole list of entities (and intent) is the baseline's too; None for a
    baseline, and where the task labels no words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """One engine."""

    name: str
    kind: str
    """"torch", "pipeline", "optimum", "onnxruntime", "bundle", or what a peer's file says."""
    device: str
    precision: str
    baseline: str | None
    runs_on: str | None
    batching: str
    """How it labels many texts at once, such as "32 texts a batch, in their order"."""
    bytes_on_disk: int
    """Of weights or graph, tokenizer, and config or manifest."""
    installed_bytes: int | None
    """Of all packages that it needs installed, Python itself left out; None where not known."""
    peak_memory_bytes: int | None
    """Resident, of the whole process; None where the system does not tell."""
    memory: tuple[MemoryPoint, ...]
    """Of the process that took the turns, in order of time; empty where not known."""
    idle_cpu: float | None
    """Share of one core that the process takes in the second after its last call."""
    joules_per_text: float | None
    """Of the whole processor while the engine labelled texts (rows of the last grid cell without
    --data); None where the machine exposes no counter."""
    cold_starts: tuple[ColdStart, ...]
    cold_start: ColdStart | None
    """The one with the median total."""
    on_texts: Agreement | None
    on_random_tokens: Agreement | None
    labelled: Labelled | None
    """None without labelled --data."""
    at_export: Accuracy | None
    """What export measured of this variant on labelled data."""
    problem: str | None
    """Why it has no or fewer figures, or cannot be trusted."""
    versions: dict[str, str]

    @property
    def agreement(self) -> float | None:
        """Return the share of labels that are the baseline's: of rows, else texts, else tokens."""
        if self.labelled and self.labelled.agreement is not None:
            return self.labelled.agreement
        seen = self.on_texts or self.on_random_tokens
        return seen.share if seen else None

    @property
    def text_agreement(self) -> float | None:
        """Return the share of texts whose whole list of entities is the baseline's.

        Of labelled rows, else of texts; None where the task labels no words.
        """
        if self.labelled and self.labelled.text_agreement is not None:
            return self.labelled.text_agreement
        return self.on_texts.texts if self.on_texts else None


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
    difference: Difference | None
    """What that comes to, the noise considered; None where there is no interval."""
    agreement: Agreement | None
    warm_up_runs: int
    warm_up_s: float
    """Until times had settled; what compiles at its first calls does so here."""
    settled: bool
    """False where warm-up ended before times had settled."""
    rounds: tuple[int, ...]
    """Numbers of the rounds that `rounds_ms` lists."""
    rounds_ms: tuple[tuple[float, ...], ...]
    """Every run that was timed, by round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The baseline against itself: a second process of it that takes turns like any engine."""

    engine: str
    """The baseline."""
    workload: str
    ratio: Ratio
    floor: float
    """Where a ratio's interval reaches closer to 1 than this, there is no difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole bench."""

    schema: int
    command: str
    """What was typed, or the call."""
    complete: bool
    """False where it was interrupted."""
    seconds: float
    environment: Environment
    thread_settings: dict[str, str]
    """The environment of every engine's process."""
    comparison: Comparison
    settings: ScenarioConfig
    workloads: tuple[Load, ...]
    engines: tuple[EngineReport, ...]
    results: tuple[Result, ...]
    noise: tuple[Noise, ...]
    open_loads: tuple[OpenLoad, ...]
    profiles: tuple[Profile, ...]
    left_out: tuple[LeftOut, ...]
    cpu_use: tuple[CpuUse, ...] = ()
    """What else the machine did, part by part; empty where not recorded."""
    idle_wait: IdleWait | None = None
    """None without --wait-idle."""

    @property
    def by_name(self) -> dict[str, EngineReport]:
        """Return the engines by their names."""
        return {engine.name: engine for engine in self.engines}

    def at(self, workload: str) -> dict[str, Result]:
        """Return the results at a workload, by engine."""
        return {each.engine: each for each in self.results if each.workload == workload}

    def measured(self) -> list[Load]:
        """Return the workloads that have results."""
        found = {result.workload for result in self.results}
        return [load for load in self.workloads if load.name in found]


def field_at(record: object, path: str) -> Any:
    """Return the field at a dotted path; None where there is none on the way."""
    for name in path.split("."):
        record = None if record is None else getattr(record, name)
    return record
