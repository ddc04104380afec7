"""A request in the queue: its inputs, the rows they are cut into, and its answer."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from bertedge.predictions import Prediction
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.logits import Floats
from bertedge.spec import Text
from bertedge.tasks.contract import PredictOptions

BYTES_PER_TOKEN = 4
"""Of a text in UTF-8 that is not tokenized yet."""
_SPECIAL_TOKENS = 2

Render = Callable[[Sequence[Prediction]], Any]


class QueueFullError(Exception):
    """More tokens are queued than are allowed."""

    def __init__(self, queued_tokens: int, retry_after_s: int) -> None:
        super().__init__(
            f"{queued_tokens:,} tokens are queued; try again in {retry_after_s} seconds"
        )
        self.retry_after_s = retry_after_s


class QueueClosedError(Exception):
    """The queue takes no more requests."""


class DeadlineError(Exception):
    """The deadline passed before the rows were run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a request, and where its time went."""

    value: Any
    """What `render` made of the predictions."""
    tokens: int
    """Of all rows, special tokens included."""
    total_s: float
    tokenize_s: float
    infer_s: float
    """While there was a batch in the model that had rows of it."""
    decode_s: float
    """From logits to what is sent."""

    @property
    def queue_s(self) -> float:
        """The rest: waiting for others."""
        own = self.tokenize_s + self.infer_s + self.decode_s
        return max(self.total_s - own, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRun:
    """What ran, for metrics."""

    rows: int
    tokens: int
    padded_tokens: int
    truncated: int
    seconds: float


@dataclass(slots=True, kw_only=True)
class Part:
    """One input: its rows, and what the model gave for them."""

    rows: list[Encoded]
    logits: list[Floats | None]


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class Request:
    """What one client asked; all that changes is guarded by the queue's lock."""

    inputs: Sequence[Text]
    options: PredictOptions
    render: Render
    deadline: float
    sizes: list[int]
    """Tokens of each input, estimated."""
    future: "Future[Answer]" = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)
    started: int = 0
    """Inputs that were tokenized, or are being."""
    parts: list[Part | None]
    ready: list["Row"] = field(default_factory=list)
    """Tokenized rows that no batch has taken."""
    missing: int
    """Inputs whose rows have not all run."""
    queued_tokens: int = 0
    window_tokens: int = 0
    tokenize_s: float = 0.0
    running: int = 0
    """Batches in the model that have rows of it."""
    running_since: float = 0.0
    infer_s: float = 0.0
    over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One row of a request, which waits for a batch."""

    request: Request
    part: Part
    number: int
    """In the part."""

    @property
    def encoded(self) -> Encoded:
        """The tokens."""
        return self.part.rows[self.number]

    @property
    def length(self) -> int:
        """How many there are."""
        return len(self.part.rows[self.number].ids)


def count_rows(inputs: Sequence[Text]) -> int:
    """Return how many texts, pairs or choices there are."""
    return sum(1 if isinstance(each, str) else len(each) - 1 for each in inputs)


def estimate_tokens(text: Text) -> int:
    """Return about how many tokens an input has, before it is tokenized."""
    parts: Iterable[str] = (text,) if isinstance(text, str) else text
    size = sum(len(part.encode("utf-8", "surrogatepass")) for part in parts)
    return _SPECIAL_TOKENS + size // BYTES_PER_TOKEN
