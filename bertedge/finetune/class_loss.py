"""The loss of classes: cross entropy, with smoothed labels and focal factors where asked for."""

from dataclasses import dataclass

import torch
from torch.nn import functional

LEAST_ERROR = 1e-7
"""Of a probability, in a focal factor: a power below 1 has no gradient at zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassLoss:
    """Which cross entropy is summed over items."""

    smoothing: float = 0.0
    """Label smoothing (Szegedy et al. 2016, arXiv:1512.00567, section 7): a label has the
    probability 1 - smoothing, and all K classes have smoothing / K more."""
    gamma: float = 0.0
    """Focal loss (Lin et al. 2017, arXiv:1708.02002, equation 5): -(1 - p)^gamma log p instead of
    -log p, so that items that the model is sure of hardly count."""

    @property
    def plain(self) -> bool:
        """Whether neither is asked for."""
        return not self.smoothing and not self.gamma

    def cross_entropy(
        self,
        logits: torch.Tensor,
        gold: torch.Tensor,
        *,
        weight: torch.Tensor | None = None,
        possible: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Sum the losses `()` of logits `(items, classes)` and labels `(items,)`.

        `weight` `(classes,)` counts a class as often. Only classes that are `possible`
        `(items, classes)` have a share in smoothed labels.
        """
        if self.plain:
            return functional.cross_entropy(logits, gold, weight=weight, reduction="sum")
        log_p = logits.log_softmax(-1)
        share = torch.ones_like(log_p) if possible is None else possible.to(log_p.dtype)
        wanted = self.smoothing * share / share.sum(-1, keepdim=True).clamp_min(1)
        hot = torch.full_like(gold.unsqueeze(-1), 1, dtype=log_p.dtype) * (1 - self.smoothing)
        wanted = wanted.scatter_add(-1, gold.unsqueeze(-1), hot)
        losses = -wanted * log_p * self._focal(log_p)
        return (losses if weight is None else losses * weight).sum()

    def binary(
        self, logits: torch.Tensor, gold: torch.Tensor, *, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Sum the losses `()` of labels each for itself `(items, labels)`, which are 0 or 1.

        `weight` `(labels,)` counts where a label is there. Smoothed labels are nearer to 1/2: a
        label and its absence are two classes.
        """
        gold = gold * (1 - self.smoothing) + self.smoothing / 2
        if not self.gamma:
            return functional.binary_cross_entropy_with_logits(
                logits, gold, pos_weight=weight, reduction="sum"
            )
        there, absent = functional.logsigmoid(logits), functional.logsigmoid(-logits)
        positive = -gold * there * self._focal(there)
        negative = -(1 - gold) * absent * self._focal(absent)
        return ((positive if weight is None else positive * weight) + negative).sum()

    def _focal(self, log_p: torch.Tensor) -> torch.Tensor | float:
        if not self.gamma:
            return 1.0
        return (-torch.expm1(log_p)).clamp_min(LEAST_ERROR) ** self.gamma
