"""What `pretrain` records beside the weights."""

from dataclasses import dataclass

from bertedge.checkpoint import Setting
from bertedge.pretrain.held_out import Check

PRETRAINING = "pretraining.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile:
    """A file of plain text that a base was trained on."""

    path: str
    """As the user gave it, made absolute."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """`pretraining.json`."""

    base: str | None
    """The model that was continued; None for one that was made new."""
    architecture: str
    parameters: int
    vocabulary: int
    max_length: int
    text: tuple[TextFile, ...]
    documents: int
    lines: int
    tokens: int
    """Of all the text, special tokens left out."""
    rows: int
    """Trained on, of up to `max_length` tokens."""
    held_out: int
    """Rows that perplexity was measured on."""
    settings: dict[str, Setting]
    steps: int
    epochs: float
    seconds: float
    tokens_per_second: float
    checks: tuple[Check, ...]
    """The first before training, the last after it."""
    versions: dict[str, str]
    created: str
