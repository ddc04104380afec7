"""When a run ends, by steps or by time, and the learning rate on the way there."""

import time
from dataclasses import dataclass

import torch
from accelerate.utils import broadcast_object_list

UNBOUNDED = 1_000_000_000
"""Steps of a run that only time ends."""


@dataclass(slots=True, kw_only=True)
class Budget:
    """The end of a run; the clock goes on where an interrupted run stood."""

    steps: int
    """UNBOUNDED where only time counts."""
    minutes: float | None
    warmup: float
    """Share of the run."""
    began: float = 0.0
    before: float = 0.0
    """Seconds that were spent before the run was interrupted."""
    ticked: float = 0.0
    """What the clock showed at the last tick."""

    def start(self, before: float) -> None:
        """Start the clock, `before` seconds into the run."""
        self.before, self.began, self.ticked = before, time.monotonic(), before

    def seconds(self) -> float:
        """Seconds of the run so far."""
        return self.before + (time.monotonic() - self.began if self.began else 0.0)

    def tick(self) -> None:
        """Look at the clock: between ticks the run stands still.

        All processes of a launch take the first one's time, or their rates and ends would differ.
        """
        self.ticked = self.seconds()
        if self.minutes and torch.distributed.is_initialized():
            self.ticked = float(broadcast_object_list([self.ticked])[0])

    def share(self, step: int) -> float:
        """How much of the run is behind us after `step` steps, from 0 to 1."""
        by_steps = step / self.steps
        by_time = self.ticked / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def rate(self, step: int) -> float:
        """Give the learning rate of the next step, as a share of its peak: up, then down to 0."""
        share = self.share(step)
        if share < self.warmup:
            # By steps the first would have the rate 0; it counts as half a step.
            return max(share, 0.5 / self.steps) / self.warmup
        return (1.0 - share) / max(1.0 - self.warmup, 1e-9)
