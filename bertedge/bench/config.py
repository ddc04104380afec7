"""What is compared, what is measured, and for how long."""

from dataclasses import dataclass, field, fields
from pathlib import Path

from bertedge.columns import Columns
from bertedge.fields import about, setting, validate


def _threads() -> int:
    from bertedge.runtime.machine import threads

    return threads()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioConfig:
    """How long and how often is measured; the defaults take three to five minutes for MiniLM on
    two cores. Raises SettingError for values that cannot be measured."""

    threads: int = field(
        default_factory=_threads,
        metadata=about("An engine's.", ge=1, metavar="N", unset="the cores of this process"),
    )
    """Of every engine."""
    rounds: int = setting(8, "Turns at each workload.", ge=1, unset="8 and more")
    """In each, every engine takes one turn at every workload."""
    extra_rounds: int = setting(60, "At most.", ge=0)
    """At most, of those workloads at which a ratio is not yet known well enough."""
    extra_s: float = setting(30.0, "For extra rounds.", ge=0)
    """For all extra rounds together, shared evenly by the workloads; one begun is ended."""
    within: float = setting(0.05, "Width of an interval.", ge=0)
    """Half the width of a ratio's interval, as a share of the ratio, that is narrow enough, unless
    the interval leaves open whether there is a difference."""
    repeats: int = setting(20, "Timed runs a turn, at most.", ge=1)
    """Timed runs of a turn, at most."""
    turn_s: float = setting(0.4, "Of a turn.", gt=0)
    """Every engine makes fewer runs where the baseline's would take longer."""
    starts: int = setting(2, "Cold starts.", ge=1)
    """Cold starts of each engine."""
    texts: int = setting(128, "Texts drawn from --data.", ge=1)
    """Real texts drawn from the data, to be timed."""
    labelled: int = setting(500, "Texts that are scored.", ge=1)
    """Texts drawn from the data to be scored, where it has labels."""
    load_s: float = setting(0.8, "Of open load.", ge=0)
    """Of open load at each rate; 0: none."""
    profile_runs: int = setting(20, "Under the profiler.", ge=0)
    """Of each graph under the profiler; 0: none."""
    quick: bool = setting(False, "Fewer engines, rounds and texts: under a minute.")
    """True where engines that take long to start, and half of the open load, are left out."""
    timeout_s: float = setting(120.0, "Seconds for one answer.", gt=0, le=86_400)
    """How long an engine may take for one answer."""
    seed: int = setting(0, "Of texts and random tokens.", ge=0)

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        validate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig(ScenarioConfig):
    """What is compared, on what, and how. Raises SettingError for values that cannot be.

    Examples:
        >>> from pathlib import Path
        >>> from bertedge.bench import BenchConfig
        >>> BenchConfig(bundle=Path("bundles/mine"), baseline="runs/mine").rounds
        8
    """

    bundle: Path
    baseline: str = field(metadata=about("Checkpoint for PyTorch.", metavar="DIR|HUB-ID"))
    """The checkpoint's directory or hub id."""
    grid: str | None = setting(None, "Batch x length.", metavar="BxL,…", unset="1x16,1x128,8x128")
    """Such as "1x16,8x128"; None for the usual cells."""
    data: Path | None = setting(None, "Label this file's texts too, tokenizer included.")
    """A file of real texts."""
    columns: Columns = Columns()  # noqa: RUF009 (frozen)
    label_map: dict[str, str] = field(default_factory=dict)
    """What labels of `data` are called in the model."""
    device: str = setting("auto", "cpu, cuda or auto (both).", unset="auto")
    """"cpu", "cuda" or "auto": all that are there and that a variant is for."""
    peers: tuple[Path, ...] = ()
    """Files of other people's engines, or folders of such; see `bertedge.bench.external`."""
    wait_idle_s: float | None = setting(None, "First wait for a quiet machine.", ge=0)
    """How long to wait for a quiet machine, at most; None: not at all."""
    command: str = "bertedge.bench.bench"
    """What was typed."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        validate(self)

    @property
    def scenario(self) -> ScenarioConfig:
        """Return how it is measured, for the record."""
        names = (each.name for each in fields(ScenarioConfig))
        return ScenarioConfig(**{name: getattr(self, name) for name in names})


QUICK = {
    "rounds": 5,
    "extra_rounds": 0,
    "repeats": 8,
    "turn_s": 0.2,
    "starts": 1,
    "texts": 64,
    "labelled": 200,
    "load_s": 0.3,
    "profile_runs": 10,
    "quick": True,
}
"""What `--quick` changes."""
MIN_REPEATS, MIN_TURN_S = 3, 2.0
"""A turn has at least so many runs, or as many as the baseline makes in so much time, or one."""
TURN_WARM_UP_MS = 30.0
"""Before each turn, for other engines have used the caches since."""
SLOWEST_TURN = 10
"""An engine whose turn would last longer than so many times `turn_s` makes fewer runs, and one that
takes longer for a single run is left out."""
MIN_FLOOR = 0.04
"""Differences below are none, however still the machine: processes of one and the same engine were
up to 3.4 % apart (18 comparisons, MiniLM int8), by where each happens to lie in memory."""
LONG_RUN_MS = 200.0
"""A run that takes longer warms itself up."""
