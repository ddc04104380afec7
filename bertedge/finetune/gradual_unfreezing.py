"""Gradual unfreezing: the head learns first, then one layer after another from the top."""

from typing import Any

import torch
import transformers
from transformers.trainer_callback import TrainerControl, TrainerState

from bertedge.finetune.layers import count_layers, depth_of


class GradualUnfreezing(transformers.TrainerCallback):
    """Unfreezes depth after depth over a share of the steps (Howard and Ruder 2018, 3.3).

    In the paper (arXiv:1801.06146) each has an epoch. What training leaves out stays left out. All
    follows from the number of the step, so that a resumed run needs nothing saved.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._depths: list[list[torch.nn.Parameter]] = []
        """The trained parameters, from the head down."""

    def on_train_begin(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        model: transformers.PreTrainedModel | None = None,
        **_: Any,
    ) -> None:
        """Note what is trained; the optimizer, which exists by now, holds all of it."""
        assert model is not None
        layers = count_layers(model.config)
        depths: dict[int, list[torch.nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                depths.setdefault(depth_of(name, layers), []).append(parameter)
        self._depths = [depths[depth] for depth in sorted(depths, reverse=True)]

    def on_step_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Train as many depths as the step is due."""
        frozen = len(self._depths) - 1  # all but the head
        due = 1 + int(frozen * state.global_step / (self._share * state.max_steps))
        for i, parameters in enumerate(self._depths):
            for parameter in parameters:
                parameter.requires_grad_(i < due)
