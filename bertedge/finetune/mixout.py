"""Mixout: weights go back to those of the base at random, as units go to zero in dropout."""

import contextlib
from collections.abc import Iterator

import torch
import transformers


class MixLinear(torch.nn.Linear):
    """A linear layer with the parameters of another one, some of whose weights it takes back."""

    start: torch.Tensor

    def __init__(self, linear: torch.nn.Linear, share: float) -> None:
        torch.nn.Module.__init__(self)  # Linear's own makes new parameters
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.register_buffer("start", linear.weight.detach().clone(), persistent=False)
        self._share = share

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what the layer does with mixed weights, in training, or with its own."""
        mixing = self.training and self.weight.requires_grad
        weight = self._mixed() if mixing else self.weight
        return torch.nn.functional.linear(inputs, weight, self.bias)

    def _mixed(self) -> torch.Tensor:
        back = torch.rand_like(self.weight) < self._share
        mixed = torch.where(back, self.start, self.weight)
        return (mixed - self._share * self.start) / (1 - self._share)


@contextlib.contextmanager
def mixout(model: transformers.PreTrainedModel, share: float) -> Iterator[None]:
    """Train the encoder with mixout for the time of the block (Lee et al. 2020, arXiv:1909.11299).

    In every pass each weight w of its linear layers is that of the start u with the probability
    `share`: (M u + (1 - M) w - share u) / (1 - share), whose mean is w (their equation 5). The
    weights cannot go far from the start at once, which keeps few rows from breaking a large model.
    """
    found = [
        (parent, name, child)
        for parent in model.base_model.modules()
        for name, child in parent.named_children()
        if type(child) is torch.nn.Linear
    ]
    for parent, name, child in found:
        setattr(parent, name, MixLinear(child, share).train(child.training))
    try:
        yield
    finally:
        for parent, name, child in found:
            setattr(parent, name, child)
