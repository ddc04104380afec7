"""`--freeze auto`: lower layers are frozen once their gradients have settled."""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers.trainer_callback import TrainerControl, TrainerState

from bertedge.errors import SettingError
from bertedge.finetune.frozen_layers import FrozenLayers, number_rows
from bertedge.finetune.selection import least_equal
from bertedge.finetune.trainer import FinetuneTrainer
from bertedge.progress import Progress

FILE = "auto_freeze.json"
CHECKS = 12
"""How often in a run it is asked which layers have settled."""
PERCENTILE = 50
"""Layers whose gradients change less than those of so many per cent have settled."""
SETTLED = 0.1
"""So have all whose gradients change by less than this share."""


@dataclass(slots=True, kw_only=True)
class Freezing:
    """Where the freezing stands; it is saved in each state of a run."""

    counts: list[int] = field(default_factory=list)
    """Frozen layers after each freezing since nothing was frozen."""
    kept: list[bool] = field(default_factory=list)
    """Whether their outputs were kept then."""
    squares: list[float] = field(default_factory=list)
    """Of the gradients of each layer, summed since the last check."""
    before: list[float] = field(default_factory=list)
    """The norm of each layer's gradients between the two checks before."""
    best: float | None = None
    """Dev metric."""
    thawed: bool = False
    trained: list[int] = field(default_factory=list)
    """How many layers were trained at the end of each epoch."""


def settled_layers(before: Sequence[float], now: Sequence[float], frozen: int) -> int:
    """Return how many of the lowest layers have settled, the frozen ones among them.

    With the norm of a layer's gradients in an interval and in the one before, its change is
    `|before - now| / before`; the lowest layers are frozen as long as that is no more than the
    median of all layers that are trained (AutoFreeze, Liu et al. 2021, arXiv:2102.01386, section
    4.1), or small. The highest layer is always trained.
    """
    changes = [abs(one - two) / one if one else 0.0 for one, two in zip(before, now, strict=True)]
    if len(changes) - frozen < 2:
        return frozen
    most = max(SETTLED, float(np.percentile(changes[frozen:], PERCENTILE)))
    count = frozen
    while count < len(changes) - 1 and changes[count] <= most:
        count += 1
    return count


class AutoFreeze(transformers.TrainerCallback):
    """Freezes the lowest layers along a run, and thaws all of them where the dev metric falls.

    Checks are made at even shares of the steps. The paper sums up the gradients of an interval;
    here it is the squares of their norms, which are numbers and not as large as the model.
    """

    def __init__(
        self, trainer: FinetuneTrainer, work: Path, progress: Progress, resumed: Path | None
    ) -> None:
        if trainer.accelerator.num_processes > 1:
            raise SettingError("freeze is auto, which is for one process; give a number of layers")
        self._trainer, self._progress = trainer, progress
        self._layers = FrozenLayers(trainer.model, work / "frozen-layers")
        both = (trainer.train_dataset, trainer.eval_dataset)
        self._data = number_rows([each for each in both if each is not None])
        trainer.train_dataset, trainer.frozen = self._data[0], self._layers
        trainer.eval_dataset = self._data[1] if len(self._data) > 1 else None
        # Before the callback that seals what the others have saved.
        trainer.callback_handler.callbacks.insert(0, self)
        self._state = Freezing()
        if resumed is not None:
            self._state = Freezing(**json.loads((resumed / FILE).read_text(encoding="utf-8")))

    @property
    def trained_layers(self) -> tuple[int, ...]:
        """Of each epoch, at its end."""
        return tuple(self._state.trained)

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Freeze what a resumed run had frozen, step by step, so that the cache is the same."""
        for count, kept in zip(self._state.counts, self._state.kept, strict=True):
            self._layers.freeze(count)
            if kept:
                self._keep_outputs()

    def on_pre_optimizer_step(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Take the step's gradients into account."""
        squares = self._state.squares or [0.0] * len(self._layers.layers)
        for i, layer in enumerate(self._layers.layers):
            gradients = [each.grad for each in layer.parameters() if each.grad is not None]
            if gradients:
                norms = torch.stack(torch._foreach_norm(gradients))
                squares[i] += float(norms.square().sum())
        self._state.squares = squares

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Freeze what has settled, at even shares of the run."""
        left = state.max_steps - state.global_step
        if not left or state.global_step % max(1, state.max_steps // CHECKS):
            return
        found, known = self._state, self._state.before
        now = [math.sqrt(total) for total in found.squares]
        found.before, found.squares = now, []
        if found.thawed or not known:
            return
        count = settled_layers(known, now, self._layers.count)
        if count > self._layers.count:
            self._layers.freeze(count)
            # With less than an epoch left no row would be read twice.
            size = self._keep_outputs() if left * args.num_train_epochs > state.max_steps else None
            found.counts.append(count)
            found.kept.append(size is not None)
            kept = "" if size is None else f", their outputs kept ({size / 2**20:,.0f} MiB)"
            self._progress.say(
                f"step {state.global_step}: {count} of {len(now)} layers are frozen{kept}"
            )

    def on_evaluate(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Thaw all layers where the dev metric fell by more than its standard error."""
        name = args.metric_for_best_model
        found, value = self._state, (metrics or {})[f"eval_{name}"]
        best = value if found.best is None else found.best
        if self._layers.count and value < least_equal([best, value], len(self._data[1])):
            self._layers.thaw()
            found.counts, found.kept, found.thawed = [], [], True
            self._progress.say(
                f"step {state.global_step}: all layers are trained again, for the dev "
                f"{name} fell from {best:.4f} to {value:.4f}"
            )
        found.best = max(best, value)

    def on_epoch_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Note how many layers are trained."""
        if float(state.epoch or 0).is_integer():
            self._state.trained.append(len(self._layers.layers) - self._layers.count)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Add a column to the curves."""
        trained = len(self._layers.layers) - self._layers.count
        state.log_history[-1]["trained_layers"] = trained

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save where the freezing stands."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        text = json.dumps(dataclasses.asdict(self._state))
        (folder / FILE).write_text(text, encoding="utf-8")

    def on_train_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Let all layers be run again: what comes next has rows without numbers."""
        self._layers.thaw()

    def _keep_outputs(self) -> int | None:
        trainer = self._trainer
        return self._layers.fill(
            self._data,
            trainer.data_collator,
            trainer.args.per_device_eval_batch_size,
            trainer.accelerator.autocast(),
        )
