"""What bench and an engine's process say to each other, one JSON object a line.

A worker is any program that reads requests from its standard input and writes one answer to each,
in order, to its standard output (nothing else may go there; standard error is free). It answers
from one thread at a time, and ends as soon as its standard input closes, whatever it is doing.
Each object carries `"say"`, the name of the message, and the fields listed in its class below:

    bench says          the worker answers
    open                opened: the model is loaded and has labelled the first text
    token_workload      ready: every input was run, and then more until times settled
    text_workload       ready
    run                 ran: the times of that many runs, after some that are not counted
    any of these        failed: what went wrong; bench then ends the worker

For example (abridged):

    > {"say": "open", "protocol": 1, "engine": "torch", "path": "runs/x", "first": ["hello"], …}
    < {"say": "opened", "imports_s": 2.1, "load_s": 0.4, "first_run_s": 0.02, "labels": [3], …}
    > {"say": "token_workload", "name": "2x3", "batches": [[[101, 7, 102], [101, 9, 102]]]}
    < {"say": "ready", "warm_up_runs": 14, "stable": true, "run_ms": 4.1, "labels": [3, 0], …}
    > {"say": "run", "workload": "2x3", "first": 0, "repeats": 2, "warm_up_ms": 30}
    < {"say": "ran", "samples_ms": [4.1, 4.2], "peak_memory_bytes": 410000000}

`labels` are label ids in the order of the inputs: one a text for text-classification, one a token
(special tokens left out where the input is text) for token-classification. They tell whether
engines agree, so they must come from the very runs that are timed.

The cold start's total is taken by bench's own clock, from starting the process to reading
`opened`; the worker tells the parts.
"""

import json
import re
from dataclasses import dataclass
from typing import TypeVar

from bertedge import records
from bertedge.tasks import Task

PROTOCOL = 1


class ProtocolError(ValueError):
    """A line is no message; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Load a model, label one text, and say how long each part took."""

    protocol: int
    engine: str
    """"torch" or "bundle"; a worker that knows but one kind may ignore it."""
    path: str
    """The checkpoint's or the bundle's directory."""
    variant: str | None
    """Of the bundle."""
    precision: str
    device: str
    """"cpu" or "cuda"."""
    threads: int
    task: Task
    labels: tuple[str, ...]
    """Names of the labels, by id."""
    tokenizer: str
    """Path of a `tokenizer.json` in the format of `tokenizers`."""
    max_length: int
    """Longest input in tokens; longer texts are cut (classification) or read in windows."""
    pad_token_id: int
    first: tuple[str, ...]
    """The text (one string) or pair (two) that the cold start ends with labelling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWorkload:
    """Batches of token ids, each run as it is, without padding; a run is one batch."""

    name: str
    batches: tuple[tuple[tuple[int, ...], ...], ...]
    """`(batches, batch, sequence)`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWorkload:
    """Real texts, tokenizer and decoding included."""

    name: str
    texts: tuple[tuple[str, ...], ...]
    """Texts (one string each) or pairs (two strings each)."""
    at_once: bool
    """True: a run labels all texts, in batches; False: a run labels one."""
    token_budget: int
    """Batches hold texts sorted by length, rows times longest within this many tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Time a prepared workload: input `first`, then the one after it, and so on in a circle."""

    workload: str
    first: int
    repeats: int
    warm_up_ms: float
    """Before: runs of the first input that are not counted, as many as fill this time; 0: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The model is loaded."""

    imports_s: float
    load_s: float
    first_run_s: float
    labels: tuple[int, ...]
    """Of the first text."""
    runs_on: str
    """The device or execution provider that really runs the model."""
    versions: dict[str, str]
    """Of the libraries at work."""
    peak_memory_bytes: int | None
    """Largest resident size so far; None where the system does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A workload is warm."""

    warm_up_runs: int
    stable: bool
    """False where times had not settled when patience ended."""
    run_ms: float
    """About what a run will take; the baseline's decides how many runs a turn has."""
    labels: tuple[int, ...]
    peak_memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A turn is over."""

    samples_ms: tuple[float, ...]
    peak_memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The request could not be met."""

    error: str


Request = Open | TokenWorkload | TextWorkload | Run
Answer = Opened | Ready | Ran | Failed
T = TypeVar("T", bound=Request | Answer)
_REQUESTS: tuple[type[Request], ...] = (Open, TokenWorkload, TextWorkload, Run)
_ANSWERS: tuple[type[Answer], ...] = (Opened, Ready, Ran, Failed)


def encode(message: Request | Answer) -> str:
    """Write a message as one line of JSON, newline included."""
    plain = {"say": _say(type(message)), **records.to_plain(message)}
    return json.dumps(plain, ensure_ascii=True, allow_nan=False) + "\n"


def decode_request(line: str) -> Request:
    """Read what bench said; ProtocolError where it is no request."""
    say, fields = _parse(line)
    for kind in _REQUESTS:
        if _say(kind) == say:
            return _build(kind, fields)
    raise ProtocolError(f"{say!r} is no request")


def decode_answer(line: str) -> Answer:
    """Read what a worker said; ProtocolError where it is no answer."""
    say, fields = _parse(line)
    for kind in _ANSWERS:
        if _say(kind) == say:
            return _build(kind, fields)
    raise ProtocolError(f"{say!r} is no answer")


def _say(kind: type[Request | Answer]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def _parse(line: str) -> tuple[str, dict[str, object]]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError(f"no JSON: {line.strip()[:60]!r}") from None
    if not isinstance(data, dict) or not isinstance(data.get("say"), str):
        raise ProtocolError(f'no object with "say": {line.strip()[:60]!r}')
    return data.pop("say"), data


def _build(kind: type[T], fields: dict[str, object]) -> T:
    try:
        return records.from_plain(kind, fields)
    except records.RecordError as error:
        raise ProtocolError(str(error)) from None
