"""The closed set of tasks, and the typed prediction of each."""

from dataclasses import dataclass
from enum import StrEnum


class Task(StrEnum):
    """A task, by its Hugging Face name."""

    TEXT_CLASSIFICATION = "text-classification"
    TOKEN_CLASSIFICATION = "token-classification"
    FILL_MASK = "fill-mask"


class Aggregation(StrEnum):
    """How token labels become entities, by the names transformers' pipeline gives them."""

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


Text = str | tuple[str, str]
"""One input: a text, or a pair of texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """The label of one text (or pair)."""

    label: str
    score: float
    """Softmax probability of `label`."""
    scores: dict[str, float]
    """Softmax probability of every label, in the model's order."""
    truncated: bool = False
    """True where the text was longer than the model reads, so that its end was not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One labelled span of a text."""

    label: str
    score: float
    start: int
    """First character, counted in the caller's own string."""
    end: int
    """One past the last character."""
    text: str
    """`original[start:end]`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entities:
    """The labelled spans of one text, from left to right."""

    entities: tuple[Entity, ...]
    windows: int = 1
    """How many overlapping windows the text was read in; 1 where it fitted the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """A token that may stand where a mask is."""

    token: str
    """As the vocabulary writes it: `##s` for the rest of a word."""
    token_id: int
    score: float
    """Softmax probability over the vocabulary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledMasks:
    """What may stand at each mask of one text, from left to right."""

    masks: tuple[tuple[Fill, ...], ...]
    """The likeliest tokens of each, best first."""
    truncated: bool = False
    """True where the text was longer than the model reads; a mask in its end is left out."""


Prediction = Classification | Entities | FilledMasks
