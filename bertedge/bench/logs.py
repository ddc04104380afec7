"""What has been measured so far, as it comes from the engines' processes."""

from dataclasses import dataclass, field

from bertedge.bench.discovery import EngineSpec
from bertedge.bench.interference import CpuUse
from bertedge.bench.messages import Opened, Ready, TextWorkload, TokenWorkload
from bertedge.bench.scenarios.open_load import OpenLoad
from bertedge.bench.scenarios.profile import Profile
from bertedge.bench.statistics import Ratio, paired_ratio
from bertedge.bench.trackers import MemoryPoint

Workload = TokenWorkload | TextWorkload


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One cold start."""

    opened: Opened
    total_s: float
    """From starting the process to reading its first answer, by the clock of bench."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The runs of one engine at one workload in one round."""

    workload: str
    round: int
    samples_ms: tuple[float, ...]
    joules: float | None = None
    """Of the whole processor, over all runs of the turn."""
    runs: int = 0
    """Those that were not counted included."""


@dataclass(slots=True, kw_only=True)
class EngineLog:
    """What has been measured of one engine so far."""

    spec: EngineSpec
    starts: list[Start] = field(default_factory=list)
    ready: dict[str, Ready] = field(default_factory=dict)
    """By workload."""
    warm_up_s: dict[str, float] = field(default_factory=dict)
    """By workload."""
    turns: list[Turn] = field(default_factory=list)
    labelled: tuple[int, ...] | None = None
    """Labels of the labelled texts."""
    open_load: OpenLoad | None = None
    idle_cpu: float | None = None
    memory: list[MemoryPoint] = field(default_factory=list)
    """Of the process that takes the turns."""
    peak_memory_bytes: int | None = None
    problem: str | None = None
    """Why it was left out of the rest."""


@dataclass(slots=True, kw_only=True)
class Measurement:
    """All that has been measured so far; what an interrupt leaves is as good as the rest."""

    engines: list[EngineLog]
    profiles: list[Profile] = field(default_factory=list)
    unprofiled: dict[str, str] = field(default_factory=dict)
    """Graphs that could not be profiled, and why."""
    cpu_use: list[CpuUse] = field(default_factory=list)
    seconds: float = 0.0
    complete: bool = False


def ratio_of(log: EngineLog, baseline: EngineLog, workload: str, seed: int) -> Ratio | None:
    """Compare an engine with its baseline at a workload; None where they share no round."""
    ours, theirs = (
        {turn.round: turn.samples_ms for turn in each.turns if turn.workload == workload}
        for each in (log, baseline)
    )
    both = [number for number in ours if number in theirs]
    if not both:
        return None
    return paired_ratio([theirs[n] for n in both], [ours[n] for n in both], seed=seed)
