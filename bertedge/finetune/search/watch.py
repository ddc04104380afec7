"""What watches a trial as it trains: it may be given up, or have no time left."""

from collections.abc import Callable
from typing import Any

import transformers
from transformers.trainer_callback import TrainerControl, TrainerState

PROBED = 50
"""Steps after which the time of all is told, or an epoch if that is shorter: batches of similar
length are sorted within so many."""


class TooLong(Exception):  # noqa: N818 (nothing went wrong)
    """A training that cannot end in its time was ended."""

    def __init__(self, projected: float = 0.0) -> None:
        super().__init__()
        self.projected = projected
        """Seconds that it would have taken; 0: not known."""


class TrialWatch(transformers.TrainerCallback):
    """Ends a training that is behind, or for which there is no time."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        until: Callable[[], float],
        limit: float | None = None,
        evaluated: Callable[[float, float], bool] | None = None,
        metric: str = "",
    ) -> None:
        """Watch one training.

        `until` returns the seconds that are left for it; where there are none, it is evaluated and
        ended if it has dev data of its own, told by `evaluated`: from the share of the training
        and the score to whether it goes on. Else TooLong is raised, as it is after the first steps
        where these show that the whole would take more than `limit` seconds.
        """
        self.pruned = self.out_of_time = False
        self.evaluation_seconds = 0.0
        self._clock, self._until, self._limit = clock, until, limit
        self._evaluated, self._metric = evaluated, metric
        self._first: tuple[int, float] | None = None
        self._stepped = clock()

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Report what was evaluated before an interrupt."""
        name = f"eval_{self._metric}"
        for entry in state.log_history:
            if self._evaluated is not None and name in entry:
                self._evaluated(entry["step"] / max(state.max_steps, 1), entry[name])

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Measure the first steps; end where no time is left."""
        self._stepped = self._clock()
        self._probe(state, self._stepped)
        if self._until() > 0 or state.global_step >= state.max_steps:
            return
        if self._evaluated is None:
            raise TooLong
        self.out_of_time = True
        control.should_evaluate = control.should_save = control.should_training_stop = True

    def on_epoch_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Evaluate no second time what has been ended."""
        if self.out_of_time:
            control.should_evaluate = control.should_save = False

    def on_evaluate(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """End what is behind the others."""
        seconds = self._clock() - self._stepped
        self.evaluation_seconds = max(self.evaluation_seconds, seconds)
        if self._evaluated is None or metrics is None:
            return
        share = state.global_step / max(state.max_steps, 1)
        if not self._evaluated(share, metrics[f"eval_{self._metric}"]):
            self.pruned = control.should_training_stop = True

    def _probe(self, state: TrainerState, now: float) -> None:
        if self._first is None:
            self._first = (state.global_step, now)
            return
        step, began = self._first
        an_epoch = state.max_steps / max(float(state.num_train_epochs), 1.0)
        if self._limit is None or state.global_step - step < min(PROBED, an_epoch - 1):
            return
        projected = (now - began) / (state.global_step - step) * state.max_steps
        if projected > self._limit:
            raise TooLong(projected)
        self._limit = None
