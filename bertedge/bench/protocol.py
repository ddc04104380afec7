"""What bench and an engine's process say to each other, one JSON object a line.

A worker is any program that reads requests from its standard input and writes one answer to each,
in order, to its standard output (nothing else may go there; standard error is free). It answers
from one thread at a time, and ends as soon as its standard input closes, whatever it is doing.
Each object carries `"say"`, the name of the message, and the fields of its class below:

    bench says          the worker answers
    open                opened: the model is loaded and has made the first prediction
    token_workload      ready: every input was run, and then more until times settled
    text_workload       ready
    run                 ran: the times of that many runs, after some that are not counted
    any of these        failed: what went wrong; bench then ends the worker

For example (abridged):

    > {"say": "open", "protocol": 1, "engine": "torch", "path": "runs/x", "first": ["hello"], …}
    < {"say": "opened", "imports_s": 2.1, "load_s": 0.4, "first_run_s": 0.02, …}
    > {"say": "token_workload", "name": "2x3", "batches": [[[101, 7, 102], [101, 9, 102]]]}
    < {"say": "ready", "warm_up_runs": 14, "stable": true, "run_ms": 4.1, "outputs": [3, 0], …}
    > {"say": "text_workload", "name": "texts", "texts": [["play a song"]], "at_once": true}
    < {"say": "ready", …, "outputs": [{"label": "music", "score": 0.9, "scores": {"music": 0.9}}]}
    > {"say": "run", "workload": "2x3", "first": 0, "repeats": 2, "warm_up_ms": 30}
    < {"say": "ran", "samples_ms": [4.1, 4.2]}

`outputs` are in the order of the inputs, and come from the very runs that are timed, for they tell
whether engines agree. A text has a prediction, as `bertedge predict` prints it (`Prediction`, by
its fields); entities are those of single tokens, with whole tags (`--aggregation none`). Random
tokens have no text to predict for: they have the number of the best label of each row, or of each
token where the task labels those; of embeddings, an embedding. Fields that have a default may be
left out.

The cold start's total is taken by bench's own clock, from starting the process to reading
`opened`; the worker tells the parts. bertedge's own worker makes ONNX graphs and profiles them
too (`export`, `profile_graph`).
"""

import json
import re
from dataclasses import dataclass
from typing import cast, get_args

from bertedge import serialization
from bertedge.predictions import Prediction, prediction_from_dict
from bertedge.spec import ModelSpec, Task

PROTOCOL = 1
"""Raised whenever a message or a field is added, removed or changes its meaning."""

Output = Prediction | int
"""A prediction; of random tokens, the number of the best label."""


class ProtocolError(ValueError):
    """A line is no message; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Load a model, predict one text, and say how long each part took."""

    protocol: int
    engine: str
    """The backend, such as "torch" or "bundle"; a worker of one backend may ignore it."""
    path: str
    """The checkpoint's or the bundle's directory, or what the engine's file says."""
    variant: str | None
    """Of the bundle."""
    precision: str
    device: str
    """"cpu" or "cuda"."""
    threads: int
    model: ModelSpec
    """Of the model: its task, its labels, how long a text it reads, how logits are decided."""
    tokenizer: str
    """Path of a `tokenizer.json` in the format of `tokenizers`."""
    first: tuple[str, ...]
    """The text (one string) or pair (two) that the cold start ends with predicting."""
    scratch: str
    """A folder for files that need not outlive the bench."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWorkload:
    """Batches of token ids, each run as it is, without padding; a run is one batch."""

    name: str
    batches: tuple[tuple[tuple[int, ...], ...], ...]
    """`(batches, batch, sequence)`"""

    @property
    def texts_of_run(self) -> int:
        """Return the rows of one run."""
        return len(self.batches[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWorkload:
    """Real texts, tokenizer and decoding included."""

    name: str
    texts: tuple[tuple[str, ...], ...]
    """Texts (one string each) or pairs (two strings each)."""
    at_once: bool
    """True: a run predicts all texts, in such batches as a user of the engine would have; False: a
    run predicts one."""
    timed: bool = True
    """False: every input is run once, for its outputs alone."""

    @property
    def texts_of_run(self) -> int:
        """Return the texts of one run."""
        return len(self.texts) if self.at_once else 1


Workload = TokenWorkload | TextWorkload


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Time a prepared workload: input `first`, then the one after it, and so on in a circle."""

    workload: str
    first: int
    repeats: int
    warm_up_ms: float = 0.0
    """Before: runs of the first input that are not counted, as many as fill this time; 0: none."""
    arrivals_s: tuple[float, ...] | None = None
    """Rising, one for each run: when its input arrives, counted from the end of the warm-up. Inputs
    run one at a time, first come first; one that is late goes on with the next at once. None: each
    run begins when the one before it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Make ONNX graphs of a checkpoint by Optimum's default path; needs no `open` before."""

    checkpoint: str
    task: Task
    folder: str
    """An empty folder for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileGraph:
    """Run a graph under onnxruntime's profiler; needs no `open` before."""

    graph: str = ""
    """Its name in the report, and the stage that it is: "exported", "fused" or "int8"."""
    stage: str = ""
    model: str
    disabled_optimizers: tuple[str, ...] = ()
    optimized: bool = False
    """True where none of onnxruntime's optimizations is to be run at load."""
    threads: int
    rows: tuple[tuple[int, ...], ...]
    """Token ids `(batch, sequence)`."""
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The model is loaded."""

    imports_s: float
    load_s: float
    first_run_s: float
    runs_on: str
    """The device or execution provider that really runs the model."""
    versions: dict[str, str]
    """Of the libraries at work."""
    outputs: tuple[Output, ...] = ()
    """Of the first text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A workload is warm."""

    warm_up_runs: int
    stable: bool
    """False where times had not settled when patience ended."""
    run_ms: float
    """About what a run will take; the baseline's decides how many runs a turn has."""
    outputs: tuple[Output, ...] = ()
    batching: str | None = None
    """How it makes batches of many texts, where it chose that itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A turn is over."""

    samples_ms: tuple[float, ...]
    """Of each run; of inputs that arrive, from the intended arrival to the answer."""
    uncounted_runs: int = 0
    """Made before, to warm up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The graphs that could be made."""

    exported: str | None = None
    """As it leaves PyTorch, fp32."""
    fused: str | None = None
    """With the transformer fusions that suit the CPU."""
    int8: str | None = None
    """The exported one, quantized dynamically per channel."""
    problem: str | None = None
    """Why one is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """All nodes of one operator."""

    name: str
    calls: int
    """Of all runs."""
    ms: float
    """Of all runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """Where the time of the runs went."""

    operators: tuple[Operator, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The request could not be met."""

    error: str


Request = Open | TokenWorkload | TextWorkload | Run | Export | ProfileGraph
Answer = Opened | Ready | Ran | Exported | Profiled | Failed


def encode(message: Request | Answer) -> str:
    """Write a message as one line of JSON, newline included."""
    plain = {"say": _say(type(message)), **serialization.to_plain(message)}
    return json.dumps(plain, ensure_ascii=True, allow_nan=False) + "\n"


def decode_request(line: str) -> Request:
    """Read what bench said; ProtocolError where it is no request."""
    return cast(Request, _decode(line, get_args(Request), "request"))


def decode_answer(line: str) -> Answer:
    """Read what a worker said; ProtocolError where it is no answer."""
    return cast(Answer, _decode(line, get_args(Answer), "answer"))


def _say(kind: type) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def _decode(line: str, kinds: tuple[type, ...], what: str) -> object:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError(f"no JSON: {line.strip()[:60]!r}") from None
    if not isinstance(data, dict) or not isinstance(say := data.pop("say", None), str):
        raise ProtocolError(f'no object with "say": {line.strip()[:60]!r}')
    for kind in kinds:
        if _say(kind) == say:
            try:
                return serialization.from_plain(kind, data)
            except serialization.RecordError as error:
                raise ProtocolError(str(error)) from None
    raise ProtocolError(f"{say!r} is no {what}")


def _read_output(data: object, where: str) -> Output:
    return data if type(data) is int else prediction_from_dict(data, where)


serialization.READERS[Output] = _read_output
