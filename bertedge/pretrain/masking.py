"""Whole-word masking by the 80/10/10 rule."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
"""The label that PyTorch's cross entropy leaves out."""
HIDDEN, REPLACED = 0.8, 0.1
"""Of the tokens to predict, the shares shown as [MASK] and as any token; the others stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masking:
    """What is needed to mask a row."""

    share: float
    """Of the row's tokens, to predict."""
    mask_token: int
    ordinary: NDArray[np.int64]
    """The token ids that are not special."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """A row, and what to predict in it."""

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    """The token where it is to be predicted, IGNORED elsewhere."""


def mask(
    ids: NDArray[np.int64],
    begins: NDArray[np.bool_],
    masking: Masking,
    rng: np.random.Generator,
) -> Masked:
    """Choose words at random until they make up the share, and hide them from the model.

    A word is chosen with all its pieces. Chinese is written without spaces and BERT takes every
    character for a word, so there a character is what is chosen. `begins` marks the first piece
    of each word; what comes before the first word begins (the rest of one) counts as a word.
    """
    counted = np.cumsum(begins)
    words = counted - counted[0]
    sizes = np.bincount(words)
    order = rng.permutation(len(sizes))
    budget = max(1, round(masking.share * len(ids)))
    taken = int(np.searchsorted(np.cumsum(sizes[order]), budget, side="right"))
    chosen = np.zeros(len(sizes), np.bool_)
    chosen[order[: max(1, taken)]] = True
    places = np.flatnonzero(chosen[words])
    labels = np.full(len(ids), IGNORED, np.int64)
    labels[places] = ids[places]
    dice = rng.random(len(places))
    shown = ids.copy()
    shown[places[dice < HIDDEN]] = masking.mask_token
    random = places[(dice >= HIDDEN) & (dice < HIDDEN + REPLACED)]
    shown[random] = rng.choice(masking.ordinary, len(random))
    return Masked(ids=shown, labels=labels)
