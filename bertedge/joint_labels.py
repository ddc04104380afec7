"""Labels of intents and of slots in one list: a block of intents, then a block of slot tags.

A model that finds intent and slots in one run is a token classifier whose label names say which
block each is in: `intent:lights_on`, `intent:lights_off`, `O`, `B-room`, `I-room`. Intents are read
at the first token alone ([CLS]), tags at the words.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREFIX = "intent:"
"""No tag of any scheme begins so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointLabels:
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
    """Return the name of an intent among a model's labels."""
    return PREFIX + name


def has_intents(labels: Sequence[str]) -> bool:
    """Return whether labels are of both kinds."""
    return any(label.startswith(PREFIX) for label in labels)


@functools.lru_cache(maxsize=64)
def split_labels(labels: tuple[str, ...]) -> JointLabels:
    """Split a model's labels; ValueError where they are not intents first and tags after them."""
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
    return JointLabels(intents=intents, tags=tags)


def best_labels(logits: NDArray[np.float32], joint: JointLabels) -> NDArray[np.int64]:
    """Return the best tag of each token `(…, sequence)`, at the first the best intent.

    `logits` are `(…, sequence, labels)`; numbers are those of the model's labels.
    """
    best: NDArray[Any] = logits[..., joint.tag_columns].argmax(axis=-1) + joint.tag_columns.start
    best[..., 0] = logits[..., 0, joint.intent_columns].argmax(axis=-1)
    return best
