"""Callbacks of Trainer: progress is shown, requests to stop are heard, saved states sealed."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import accelerate
import numpy as np
import torch
import transformers
from transformers.trainer_callback import TrainerControl, TrainerState

from bertedge.progress import Progress
from bertedge.training.run_directory import prune
from bertedge.training.seal import seal


class ProgressCallback(transformers.TrainerCallback):
    """Shows progress, and turns a request to stop into a saved state.

    What Trainer does not save and an exact continuation needs is saved too: the random state at
    the start of the epoch, which its order of rows is drawn from.
    """

    def __init__(
        self,
        progress: Progress,
        metric: str,
        resumed: Path | None = None,
        *,
        every: int = 1,
        also: Sequence[str] = (),
    ) -> None:
        """Take the dev metric's name, the state to go on from, and epochs between evaluations.

        `also` are metrics that are shown behind the first.
        """
        self.resumed = resumed
        """The state that the run goes on from."""
        self.interrupted = False
        self.stopped = False
        """Whether the run was ended before its end, with its state saved."""
        self._progress, self._metric, self._note, self._every = progress, metric, "", every
        self._epoch_start = torch.get_rng_state()
        self._began, self._also = time.monotonic(), also

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Open the bar, moved on to where a resumed run stands."""
        self._find_best(args, state)
        self.start_clock(state)
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
        if self.interrupted and state.global_step < state.max_steps:
            self.stopped = control.should_training_stop = True
            control.should_save = _within_epoch(state)  # at its end Trainer evaluates first

    def on_epoch_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Note the random state, or go back to the one that a resumed epoch began with."""
        if self.resumed is not None:
            saved = np.fromfile(self.resumed / _epoch_start(args), np.uint8)
            torch.set_rng_state(torch.from_numpy(saved))
            self.resumed = None
        self._epoch_start = torch.get_rng_state()

    def on_epoch_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Skip the evaluation of part of an epoch, and of those between; the last has one."""
        last = state.global_step >= state.max_steps or control.should_training_stop
        between = not last and round(float(state.epoch or 0)) % self._every != 0
        if between or (self.stopped and _within_epoch(state)):
            control.should_evaluate = control.should_save = False

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Seal what Trainer has saved, and let go of older states."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        start = self._epoch_start if _within_epoch(state) else torch.get_rng_state()
        start.numpy().tofile(folder / _epoch_start(args))
        accelerate.PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            seal(folder)
            prune(folder.parent, state.best_global_step)

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Keep the loss for the bar, and when it was, for the curves."""
        state.log_history[-1]["seconds"] = round(time.monotonic() - self._began, 3)
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
        """Report the dev metric."""
        if state.is_world_process_zero and metrics:
            names = [self._metric, *self._also]
            first, *more = (f"{name} {metrics[f'eval_{name}']:.4f}" for name in names)
            listed = f" ({', '.join(more)})" if more else ""
            self._progress.say(f"epoch {state.epoch:.4g}: dev {first}{listed}")

    def start_clock(self, state: TrainerState) -> None:
        """Start the curves' clock, for a resumed run where it stood at the last logged step."""
        before = [entry["seconds"] for entry in state.log_history if "seconds" in entry]
        self._began = time.monotonic() - max(before, default=0.0)

    @staticmethod
    def _find_best(args: Any, state: TrainerState) -> None:
        # Trainer keeps the path, which is another one after the folders above have moved.
        if state.best_global_step:
            best = Path(args.output_dir) / f"checkpoint-{state.best_global_step}"
            state.best_model_checkpoint = str(best)


def _within_epoch(state: TrainerState) -> bool:
    return not float(state.epoch or 0).is_integer()


def _epoch_start(args: Any) -> str:
    return f"epoch_start_{args.process_index}.bin"


@contextlib.contextmanager
def interruptible(callback: ProgressCallback) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM in the block into `callback.interrupted`.

    A second one does what it did before the block.
    """
    before: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(_: int, __: FrameType | None) -> None:
        callback.interrupted = True
        restore()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        restore()
