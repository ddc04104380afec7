"""Adversarial training: the loss of texts whose word embeddings are moved to where it is high."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import transformers

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.settings.regularization import Adversarial

Loss = Callable[[], torch.Tensor]
SHARE = 0.04
"""Longest move of a text where none is given, of the mean length of the base's word embeddings: a
whole word's length turns a short text into another, and nothing is learnt."""


class Attack:
    """Moves the word embeddings `(rows, tokens, hidden)` of a model in training.

    A text's move is at most `epsilon` long, over all of its tokens; for rows in groups, all of the
    group's. Padding stays. Every step goes along the gradient g of the loss, as g / |g|:

    - fgm (Miyato et al. 2017, arXiv:1605.07725, equation 5): one step of length epsilon. The loss
      there is added to that of the text.
    - pgd (Madry et al. 2018, arXiv:1706.06083, equation 2): `steps` steps of 2.5 epsilon / steps,
      each drawn back to epsilon where it went further. The loss at the end is added.
    - freelb (Zhu et al. 2020, arXiv:1909.11764, algorithm 1): such steps too, but the loss is the
      mean of all `steps` places, of which the text itself is the first; all have one dropout mask
      (section 3.3).
    """

    def __init__(self, config: FinetuneConfig) -> None:
        self._method = config.adversarial
        self._epsilon = config.adversarial_epsilon
        self._steps = 1 if self._method is Adversarial.FGM else config.adversarial_steps or 3
        self._embedded: torch.Tensor | None = None
        self._move: torch.Tensor | None = None
        self._dropout: list[torch.Tensor] = []

    @contextlib.contextmanager
    def on(self, model: transformers.PreTrainedModel) -> Iterator[None]:
        """Watch the model's word embeddings for the time of the block."""
        embeddings = model.get_input_embeddings()
        if self._epsilon is None:
            self._epsilon = SHARE * float(embeddings.weight.detach().float().norm(dim=1).mean())
        handle = embeddings.register_forward_hook(self._hook)
        try:
            yield
        finally:
            handle.remove()

    def loss(self, clean: torch.Tensor, again: Loss, mask: torch.Tensor) -> torch.Tensor:
        """Compute what is added to the loss `clean` of a batch `()`.

        `again` runs the model once more and computes its loss; `mask` `(texts, …, tokens)` is 0 at
        padding.
        """
        moved = self._embedded
        assert moved is not None, "the attack is not on the model"
        free = self._method is Adversarial.FREELB
        move, place, total = torch.zeros_like(moved), clean, torch.zeros_like(clean)
        passes = self._steps - 1 if free else self._steps
        for number in range(1, passes + 1):
            keep = free or place is clean  # what is a part of the loss is gone through again
            (gradient,) = torch.autograd.grad(place, moved, retain_graph=keep)
            move = self._step(move, gradient, mask).requires_grad_()
            with self._moved(move, same_dropout=free):
                moved, place = move, again()
            if free or number == passes:
                total = total + place
        return (total - passes * clean) / self._steps if free else total

    def _step(self, move: torch.Tensor, gradient: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert self._epsilon is not None, "the attack is not on the model"
        real = mask.reshape(*gradient.shape[:2], 1)
        length = self._epsilon * (2.5 / self._steps if self._steps > 1 else 1)
        made = move.detach() + length * _unit(gradient * real, len(mask))
        norm = _norm(made, len(mask))
        return made * (self._epsilon / norm).clamp_max(1)

    @contextlib.contextmanager
    def _moved(self, move: torch.Tensor, *, same_dropout: bool) -> Iterator[None]:
        devices = [move.device] if move.is_cuda else []
        self._move = move
        try:
            with torch.random.fork_rng(devices, enabled=same_dropout):
                if same_dropout:
                    _set_random_state(self._dropout)
                yield
        finally:
            self._move = None

    def _hook(self, module: torch.nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor:
        if self._move is not None:
            return output + self._move
        if module.training:  # the last pass over the texts as they are
            # Those of a frozen model have no gradient of their own.
            output = output if output.requires_grad else output.detach().requires_grad_()
            self._embedded = output
            if self._method is Adversarial.FREELB:
                self._dropout = _random_state(output)
        return output


def _norm(vectors: torch.Tensor, texts: int) -> torch.Tensor:
    """Return the length of each text's part of `(rows, tokens, hidden)`, as `(rows, 1, 1)`."""
    norm = vectors.reshape(texts, -1).norm(dim=1).clamp_min(torch.finfo(vectors.dtype).tiny)
    return norm.repeat_interleave(len(vectors) // texts).reshape(-1, 1, 1)


def _unit(vectors: torch.Tensor, texts: int) -> torch.Tensor:
    # Twice: a gradient's squares may be too small for the norm's sum.
    scaled = vectors / vectors.abs().amax().clamp_min(torch.finfo(vectors.dtype).tiny)
    return scaled / _norm(scaled, texts)


def _random_state(of: torch.Tensor) -> list[torch.Tensor]:
    cuda = [torch.cuda.get_rng_state(of.device)] if of.is_cuda else []
    return [torch.get_rng_state(), *cuda]


def _set_random_state(state: list[torch.Tensor]) -> None:
    torch.set_rng_state(state[0])
    for each in state[1:]:
        torch.cuda.set_rng_state(each)
