"""When a run ends, by steps or by time, and the learning rate on the way there."""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from accelerate.utils import broadcast_object_list
from transformers.trainer_callback import TrainerControl, TrainerState

from bertedge import serialization
from bertedge.pretrain.head import MaskedTokenHead
from bertedge.pretrain.held_out import HeldOut
from bertedge.progress import Progress
from bertedge.training.callbacks import ProgressCallback

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
        """Read the clock: between ticks the run stands still.

        All processes of a launch take the first one's time, or their rates and ends would differ.
        """
        self.ticked = self.seconds()
        if self.minutes and torch.distributed.is_initialized():
            self.ticked = float(broadcast_object_list([self.ticked])[0])

    def share(self, step: int) -> float:
        """Return the share of the run that is done after `step` steps, from 0 to 1."""
        by_steps = step / self.steps
        by_time = self.ticked / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def rate(self, step: int) -> float:
        """Return the learning rate of the next step, as a share of its peak: up, then down to 0."""
        share = self.share(step)
        if share < self.warmup:
            # By steps the first would have the rate 0; it counts as half a step.
            return max(share, 0.5 / self.steps) / self.warmup
        return (1.0 - share) / max(1.0 - self.warmup, 1e-9)


class BudgetCallback(ProgressCallback):
    """Shows progress, measures and saves along the run, and ends it."""

    def __init__(
        self,
        progress: Progress,
        budget: Budget,
        held_out: HeldOut,
        head: MaskedTokenHead,
        *,
        checks: int,
        tokens: int,
    ) -> None:
        super().__init__(progress, "perplexity")
        self._budget, self._held_out, self._head = budget, held_out, head
        self._checks, self._tokens, self._done = checks, tokens, 0
        self._trained_seconds = self._began = self._share = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Of this process's steps, checks left out."""
        return self._done * self._tokens / max(self._trained_seconds, 1e-9)

    def on_train_begin(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Start the clock where it stood, and measure what there is to begin with."""
        clock = [entry["clock"] for entry in state.log_history if "clock" in entry]
        self._budget.start(clock[-1] if clock else 0.0)
        self.start_clock(state)
        if not state.global_step:
            self._check(state, model)
        if state.is_world_process_zero:
            timed = self._budget.steps == UNBOUNDED
            total = None if timed else self._budget.steps * self._tokens
            if state.global_step:
                self._progress.say(f"resuming at step {state.global_step}")
            done = state.global_step * self._tokens
            self._progress.start("pretraining", total, "tokens", done)
        self._share = self._budget.share(state.global_step)

    def on_step_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Note the time."""
        self._began = self._budget.seconds()

    def on_step_end(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Move the bar; measure and save at even shares of the run; stop at its end."""
        self._done += 1
        self._budget.tick()
        self._trained_seconds += self._budget.ticked - self._began
        share = self._budget.share(state.global_step)
        due = math.floor(share * self._checks) > math.floor(self._share * self._checks)
        self._share = share
        if state.is_world_process_zero:
            self._progress.advance(self._tokens, self._beside())
        if due:
            self._check(state, model)
        self.stopped = self.interrupted and share < 1.0
        control.should_training_stop = share >= 1.0 or self.stopped
        control.should_save = (due and share < 1.0) or self.stopped
        if control.should_save:
            state.log_history.append({"step": state.global_step, "clock": self._budget.seconds()})

    def _check(self, state: TrainerState, model: transformers.PreTrainedModel) -> None:
        if not state.is_world_process_zero:
            return
        seconds = self._budget.seconds()
        check = self._held_out.check(model, self._head, state.global_step, seconds)
        state.log_history.append({"step": check.step, "check": serialization.to_plain(check)})
        follows = check.next_sentence_accuracy
        also = "" if follows is None else f", next sentence {follows:.1%}"
        self._progress.say(
            f"step {check.step}: held-out perplexity {check.perplexity:,.2f}, "
            f"{check.accuracy:.1%} of the masked tokens right{also}"
        )

    def _beside(self) -> str:
        if self._budget.minutes is None:
            return self._note
        left = max(0, round(60 * self._budget.minutes - self._budget.ticked))
        return f"{self._note}, {left // 60}:{left % 60:02d} left".lstrip(", ")
