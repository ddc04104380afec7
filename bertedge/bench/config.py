"""What is measured and for how long."""

from dataclasses import dataclass

from bertedge.errors import SettingError

LONGEST_TIMEOUT_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a bench is run; the defaults take three to five minutes for MiniLM on two cores."""

    threads: int
    """Of every engine."""
    rounds: int = 8
    """In each, every engine takes one turn at every workload."""
    extra_rounds: int = 60
    """At most, of those workloads at which a ratio is not yet known well enough."""
    extra_s: float = 15.0
    """For all extra rounds together, shared evenly by the workloads; one begun is ended."""
    within: float = 0.05
    """Half the width of a ratio's interval, as a share of the ratio, that is narrow enough, unless
    the interval leaves open whether there is a difference."""
    repeats: int = 20
    """Timed runs of a turn, at most."""
    turn_s: float = 0.4
    """Every engine makes fewer runs where the baseline's would take longer."""
    starts: int = 2
    """Cold starts of each engine."""
    texts: int = 128
    """Real texts drawn from the data, to be timed."""
    labelled: int = 500
    """Texts drawn from the data to be scored, where it has labels."""
    load_s: float = 0.8
    """Of open load at each rate; 0: none."""
    profile_runs: int = 20
    """Of each graph under the profiler; 0: none."""
    quick: bool = False
    """True where engines that take long to start, and half of the open load, are left out."""
    timeout_s: float = 120.0
    """How long an engine may take for one answer."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        for name in ("threads", "rounds", "repeats", "starts", "texts"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 < self.timeout_s <= LONGEST_TIMEOUT_S:  # also refuses nan
            raise SettingError(
                f"timeout is {self.timeout_s:g} s; it must be more than 0 and at most "
                f"{LONGEST_TIMEOUT_S:,}"
            )


FILLS_MASKS = "bench compares labels, and this model fills masks"
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
