"""Mixup of what a linear classifier reads: texts and labels between two of the batch."""

from typing import Any

import torch

from bertedge.checkpoint import logits_of
from bertedge.finetune.objectives import LabelLoss


class Mixup:
    """The loss of the labels, of each text mixed with another one of its batch.

    mixup (Zhang et al. 2018, arXiv:1710.09412) trains on s x_i + (1 - s) x_j with the labels
    s y_i + (1 - s) y_j, where s is drawn from Beta(alpha, alpha) for each batch; Mixup-Transformer
    (Sun et al. 2020, arXiv:2010.02394) takes for x what the last layer of the classifier reads.
    That layer is linear, so that its logits are mixed here, which is the same; and so are the
    losses of both labels instead of the labels, in which cross entropy is linear. (Squared errors
    differ by a number that no weight changes.)
    """

    def __init__(self, loss: LabelLoss, alpha: float) -> None:
        self._loss = loss
        self._shares = torch.distributions.Beta(alpha, alpha)
        self._labels: torch.Tensor | None = None
        self._share = 1.0
        self._others = torch.empty(0)

    def __call__(
        self, outputs: Any, labels: torch.Tensor, items: Any, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute the batch's share of the mean loss `()`; each pass over a batch mixes alike."""
        if self._labels is not labels:
            self._labels, self._share = labels, float(self._shares.sample())
            self._others = torch.randperm(len(labels)).to(labels.device)
        share, others = self._share, self._others
        logits = logits_of(outputs)
        mixed = {"logits": share * logits + (1 - share) * logits[others]}
        own = self._loss(mixed, labels, items, mask)
        return share * own + (1 - share) * self._loss(mixed, labels[others], items, mask)
