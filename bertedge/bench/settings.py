"""What is measured and for how long."""

from dataclasses import dataclass

from bertedge.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a bench is run; the defaults take two to four minutes for MiniLM on two cores."""

    threads: int
    """Of every engine."""
    rounds: int = 10
    """In each, every engine takes one turn at every workload."""
    repeats: int = 20
    """Timed runs of a turn, at most."""
    turn_s: float = 0.5
    """Fewer runs are made, by every engine alike, where the baseline's would take longer."""
    starts: int = 3
    """Cold starts of each engine."""
    texts: int = 200
    """Real texts drawn from the data."""
    timeout_s: float = 120.0
    """How long an engine may take for one answer."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        for name in ("threads", "rounds", "repeats", "starts", "texts"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.timeout_s <= 0:
            raise SettingError(f"timeout is {self.timeout_s:g} s; it must be more than 0")


QUICK = {"rounds": 5, "repeats": 8, "turn_s": 0.2, "starts": 1, "texts": 64}
"""What `--quick` changes."""
MIN_REPEATS, MIN_TURN_S = 3, 2.0
"""A turn has at least so many runs, or as many as the baseline makes in so much time, or one."""
TURN_WARM_UP_MS = 30.0
"""Before each turn, for other engines have used the caches since."""
LONG_RUN_MS = 200.0
"""A run that takes longer warms itself up."""
