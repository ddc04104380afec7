"""The optimizers, and the schedules of their learning rates, by the names of their settings."""

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
import transformers

from bertedge.errors import SettingError
from bertedge.finetune.layers import count_layers, depth_of
from bertedge.finetune.settings.optimization import LRScheduler, Optimizer

Schedule = Callable[[torch.optim.Optimizer, int], Any]
"""From an optimizer and the number of steps to a torch schedule."""

_SCHEDULERS = {
    LRScheduler.LINEAR: "linear",
    LRScheduler.COSINE: "cosine",
    LRScheduler.CONSTANT: "constant_with_warmup",
}
"""What transformers calls those that it has."""


class MuonAdamW(torch.optim.Optimizer):
    """Muon for the matrices of the layers, AdamW for all else; both are torch's.

    Muon (Jordan et al. 2024; Liu et al. 2025, arXiv:2502.16982) makes the momentum of a matrix
    orthogonal, so that a step is as large in every direction. Scaled to the size of AdamW's steps,
    it takes AdamW's learning rate. `matrices` holds the ids of the parameters that are its own.
    """

    def __init__(
        self, params: Iterable[dict[str, Any]], matrices: Collection[int], **adamw: Any
    ) -> None:
        groups = list(params)
        own, others = (_only(groups, matrices, among=among) for among in (True, False))
        self._parts: list[torch.optim.Optimizer] = []
        if own:
            self._parts.append(torch.optim.Muon(own, adjust_lr_fn="match_rms_adamw"))
        if others:
            self._parts.append(torch.optim.AdamW(others, **adamw))
        super().__init__([*own, *others], {})
        self._share()

    def step(self, closure: Any = None) -> None:
        """Move all weights that have a gradient."""
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` returned."""
        for part, saved in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(saved)
        self._share()

    def _share(self) -> None:
        # The very dictionaries of both, for a schedule to change.
        self.param_groups = [group for part in self._parts for group in part.param_groups]


def _only(
    groups: Iterable[dict[str, Any]], matrices: Collection[int], *, among: bool
) -> list[dict[str, Any]]:
    """Return the groups with those parameters alone that are `among` the matrices, or are not."""
    kept = [
        {**group, "params": [p for p in group["params"] if (id(p) in matrices) is among]}
        for group in groups
    ]
    return [group for group in kept if group["params"]]


def optimizer_of(
    name: Optimizer, model: transformers.PreTrainedModel
) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Return the class of an optimizer, and what it takes beside its parameter groups.

    Raises SettingError for one that this torch does not have.
    """
    adamw = {"betas": (0.9, 0.999), "eps": 1e-8, "fused": True}
    match name:
        case Optimizer.ADAMW:
            return torch.optim.AdamW, adamw
        case Optimizer.SGD:
            return torch.optim.SGD, {"momentum": 0.9, "nesterov": True}
        case Optimizer.MUON:
            if not hasattr(torch.optim, "Muon"):
                raise SettingError(
                    f"optimizer is muon, which torch {torch.__version__} does not have; install "
                    "torch 2.9 or newer"
                )
            layers = count_layers(model.config)
            matrices = {
                id(parameter)
                for name, parameter in model.named_parameters()
                if parameter.dim() == 2 and 0 < depth_of(name, layers) <= layers
            }
            return MuonAdamW, {"matrices": matrices, **adamw}


class OneCycle(torch.optim.lr_scheduler.LRScheduler):
    """One cycle of the learning rate and of momentum (Smith 2018, arXiv:1803.09820).

    By half cosines the rate rises in the warm-up from a 25th of its peak, and falls to nearly
    nothing; momentum (AdamW's first beta) falls from 0.95 to 0.85 and rises again. Those are
    the numbers of torch's OneCycleLR, which divides by zero where the warm-up is one step.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, steps: int, warmup_ratio: float) -> None:
        self.steps, self.rising = steps, warmup_ratio * steps
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        """Return the rate of each group for the next step, and set its momentum."""
        done = min(self.last_epoch, self.steps)
        if done < self.rising:
            height = _eased(done / self.rising)
            factor = 1 / 25 + (1 - 1 / 25) * height
        else:
            height = 1 - _eased((done - self.rising) / max(self.steps - self.rising, 1e-9))
            factor = 1 / 25e4 + (1 - 1 / 25e4) * height
        momentum = 0.95 - 0.1 * height
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum
        return [factor * rate for rate in self.base_lrs]


def schedule_of(name: LRScheduler, warmup_ratio: float) -> Schedule:
    """Return a schedule that warms up over that share of the steps."""
    if name is LRScheduler.ONE_CYCLE:
        return lambda optimizer, steps: OneCycle(optimizer, steps, warmup_ratio)
    return lambda optimizer, steps: transformers.get_scheduler(
        _SCHEDULERS[name], optimizer, math.ceil(warmup_ratio * steps), steps
    )


def _eased(share: float) -> float:
    """Return how far a half cosine from 0 to 1 is after a share of the way."""
    return (1 - math.cos(math.pi * share)) / 2
