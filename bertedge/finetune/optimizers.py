"""The optimizers, and the schedules of their learning rates, by the names of their settings."""

import math
from collections.abc import Callable
from typing import Any

import torch

from bertedge.finetune.settings.optimization import LRScheduler, Optimizer

Schedule = Callable[[torch.optim.Optimizer, int], Any]
"""From an optimizer and the number of steps to a torch schedule."""

SCHEDULERS = {
    LRScheduler.LINEAR: "linear",
    LRScheduler.COSINE: "cosine",
    LRScheduler.CONSTANT: "constant_with_warmup",
}
"""What transformers calls those that it has."""


class Lion(torch.optim.Optimizer):
    """Moves each weight by the sign of its momentum (Chen et al. 2023, arXiv:2302.06675).

    It is the paper's algorithm 2, which keeps one number a weight where AdamW keeps two. All steps
    have the size of the learning rate, which is to be 3 to 10 times smaller than AdamW's.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> None:
        """Move all weights that have a gradient."""
        for group in self.param_groups:
            rate, (one, two) = group["lr"], group["betas"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["exp_avg"] = torch.zeros_like(weight)
                momentum = state["exp_avg"]
                weight.mul_(1 - rate * group["weight_decay"])
                weight.sub_(momentum.lerp(weight.grad, 1 - one).sign_(), alpha=rate)
                momentum.lerp_(weight.grad, 1 - two)


def optimizer_of(name: Optimizer) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Return the class of an optimizer, and what it takes beside its parameter groups."""
    match name:
        case Optimizer.ADAMW:
            return torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8, "fused": True}
        case Optimizer.SGD:
            return torch.optim.SGD, {"momentum": 0.9, "nesterov": True}
        case Optimizer.LION:
            return Lion, {}


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


def schedule_of(name: LRScheduler, warmup_ratio: float) -> Schedule | None:
    """Return the schedule that transformers does not have; None for those that it has."""
    if name is not LRScheduler.ONE_CYCLE:
        return None
    return lambda optimizer, steps: OneCycle(optimizer, steps, warmup_ratio)


def _eased(share: float) -> float:
    """Return how far a half cosine from 0 to 1 is after a share of the way."""
    return (1 - math.cos(math.pi * share)) / 2
