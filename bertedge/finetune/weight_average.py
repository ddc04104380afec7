"""An average of the weights along a run: what is evaluated, chosen among and kept."""

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.trainer_callback import TrainerControl, TrainerState

from bertedge.finetune.config import FinetuneConfig

TRAINED = "trained.safetensors"
"""In a saved state whose model is the average: the weights that the optimizer moves."""

NewestShare = Callable[[int, int], float]
"""From the step (1 is the first) and how many there are: the share of its weights in the mean."""


def exponential(decay: float) -> NewestShare:
    """Average w_1 … w_t with shares proportional to decay^(t - i) (Polyak and Juditsky 1992).

    They are divided by their sum, 1 - decay^t, as in Adam (Kingma and Ba 2015, section 3): what a
    short run starts from has no share.
    """

    def share(step: int, steps: int) -> float:
        return (1 - decay) / (1 - decay**step)

    return share


def uniform(start: float) -> NewestShare:
    """Average all steps from the share `start` of them on (Izmailov et al. 2018, arXiv:1803.05407).

    Before it the average is the weights themselves.
    """

    def share(step: int, steps: int) -> float:
        return 1 / max(1, step + 1 - max(1, math.ceil(start * steps)))

    return share


def weight_average(config: FinetuneConfig, resumed: Path | None) -> "WeightAverage | None":
    """Return what the config asks for; a run goes on from the state `resumed`."""
    if config.ema_decay:
        return WeightAverage(exponential(config.ema_decay), resumed)
    if config.swa_start is not None:
        return WeightAverage(uniform(config.swa_start), resumed)
    return None


class WeightAverage(transformers.TrainerCallback):
    """Keeps the average beside the weights, and puts it in their place for a while.

    A saved state's model is the average; the weights themselves lie beside it.
    """

    def __init__(self, share: NewestShare, resumed: Path | None) -> None:
        self._share, self._resumed = share, resumed
        self._weights: dict[str, torch.nn.Parameter] = {}
        self._average: dict[str, torch.Tensor] = {}

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Begin at the weights, or go on: the model of a resumed state is the average."""
        self._weights = dict(more["model"].named_parameters())
        self._average = {name: each.detach().clone() for name, each in self._weights.items()}
        if self._resumed is not None:
            trained = load_file(self._resumed / TRAINED)
            for name, each in self._weights.items():
                each.data.copy_(trained[name])

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Take the step's weights into the average."""
        share = self._share(state.global_step, state.max_steps)
        weights = [each.detach() for each in self._weights.values()]
        torch._foreach_lerp_([*self._average.values()], weights, share)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save the weights beside the average."""
        if args.should_save:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            save_file({name: each.data for name, each in self._weights.items()}, folder / TRAINED)

    def on_train_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Leave the last average, where no better one was loaded."""
        if state.best_model_checkpoint is None:
            self._swap()

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in the place of the weights for the time of the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, each in self._weights.items():
            each.data, self._average[name] = self._average[name], each.data
