"""The minutes of a search: how much is left, and what fits into it."""

import math
import time
from collections.abc import Callable, Sequence

from bertedge.finetune.search.space import cost_of
from bertedge.finetune.search.trials import Trial

LEAST = 0.5
"""Of the default's epochs: where fewer fit, no other trial is begun."""
MARGIN = 0.9
"""Of the time left, that is planned with where only a few steps were measured."""


class Budget:
    """A number of seconds, counted by a clock."""

    def __init__(
        self, seconds: float, spent: float = 0.0, clock: Callable[[], float] | None = None
    ) -> None:
        """Begin now; `spent` seconds of an interrupted search are counted in."""
        self.seconds = seconds
        self.clock = clock or time.monotonic
        self._began = self.clock() - spent

    @property
    def elapsed(self) -> float:
        """How many seconds have passed."""
        return self.clock() - self._began

    @property
    def left(self) -> float:
        """How many are left; less than none where it took too long."""
        return self.seconds - self.elapsed


def seconds_an_epoch(trials: Sequence[Trial]) -> float:
    """Return what an epoch of a trial takes without any technique, all about it counted in."""
    epochs = sum(each.trained_epochs * cost_of(each.params) for each in trials)
    return sum(each.seconds for each in trials) / epochs if epochs else math.inf


def fit_epochs(epochs: float, seconds_each: float, left: float, default: float) -> float | None:
    """Return how many of the epochs fit into the seconds that are left.

    None where fewer do than LEAST of the `default`.
    """
    if epochs * seconds_each <= left:
        return epochs
    fitting = left / seconds_each
    fitting = float(math.floor(fitting)) if fitting >= 1 else fitting
    return fitting if fitting >= LEAST * default else None
