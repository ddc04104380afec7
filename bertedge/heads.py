"""Two heads in one layer of logits: a block of intents, then a block of slot tags.

A model that finds intent and slots in one run is a token classifier whose label names say which
block each is in: `intent:lights_on`, `intent:lights_off`, `O`, `B-room`, `I-room`. Intents are read
at the first token alone ([CLS]), tags at the words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREFIX = "intent:"
"""No tag of any scheme begins so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """The labels of both blocks, in the order of their logits."""

    intents: tuple[str, ...]
    """Without the prefix."""
    tags: tuple[str, ...]

    @property
    def intent_columns(self) -> slice:
        """Where in the logits the intents are."""
        return slice(0, len(self.intents))

    @property
    def tag_columns(self) -> slice:
        """Where in the logits the tags are."""
        return slice(len(self.intents), len(self.intents) + len(self.tags))


def intent_label(name: str) -> str:
    """Name an intent among a model's labels."""
    return PREFIX + name


def has_intents(labels: Sequence[str]) -> bool:
    """Tell whether labels are those of both heads."""
    return any(label.startswith(PREFIX) for label in labels)


def split_heads(labels: Sequence[str]) -> Heads:
    """Part a model's labels; ValueError where they are not intents first and tags after them."""
    count = sum(label.startswith(PREFIX) for label in labels)
    intents = tuple(label.removeprefix(PREFIX) for label in labels[:count])
    tags = tuple(labels[count:])
    if not intents or not tags:
        missing = "tags" if intents else f"labels that begin with {PREFIX!r}"
        raise ValueError(f"there are no {missing} among the {len(labels)} labels")
    odd = next((label for label in labels[:count] if not label.startswith(PREFIX)), None)
    if odd is not None:
        raise ValueError(f"the tag {odd!r} stands before intents; all intents must come first")
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ValueError(f"the label {twice!r} is there twice")
    return Heads(intents=intents, tags=tags)


def best_labels(logits: NDArray[np.float32], heads: Heads) -> NDArray[np.int64]:
    """Give the best tag at each token `(…, sequence, labels)`, at the first the best intent.

    Numbers are those of the model's labels.
    """
    best: NDArray[Any] = logits[..., heads.tag_columns].argmax(axis=-1) + heads.tag_columns.start
    best[..., 0] = logits[..., 0, heads.intent_columns].argmax(axis=-1)
    return best
