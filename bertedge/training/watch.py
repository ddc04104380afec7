"""What watches a training run: progress out, requests to stop in."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import transformers
from transformers.trainer_callback import TrainerControl, TrainerState

from bertedge.progress import Progress


class Watch(transformers.TrainerCallback):
    """Shows progress, and turns a request to stop into a saved state."""

    def __init__(self, progress: Progress, metric: str) -> None:
        self.interrupted = False
        self._progress, self._metric, self._note = progress, metric, ""

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Open the bar, moved on to where a resumed run stands."""
        if state.is_world_process_zero:
            if state.global_step:
                self._progress.say(f"resuming at step {state.global_step}")
            self._progress.start("training", state.max_steps, "steps", state.global_step)

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Move the bar; save and stop where that was asked for."""
        if state.is_world_process_zero:
            self._progress.advance(1, self._note)
        if self.interrupted:
            control.should_save = True
            control.should_training_stop = True

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Keep the loss for the bar."""
        if logs and "loss" in logs:
            self._note = f"loss {logs['loss']:.3f}"

    def on_evaluate(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Say the dev metric."""
        if state.is_world_process_zero and metrics:
            value = metrics[f"eval_{self._metric}"]
            self._progress.say(f"epoch {state.epoch:.4g}: dev {self._metric} {value:.4f}")


@contextlib.contextmanager
def interruptible(watch: Watch) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM in the block into `watch.interrupted`.

    A second one does what it did before the block.
    """
    before: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(_: int, __: FrameType | None) -> None:
        watch.interrupted = True
        restore()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        restore()
