"""What bench and an engine's process say to each other, one JSON object a line.

A worker is any program that reads requests from its standard input and writes one answer to each,
in order, to its standard output (nothing else may go there; standard error is free). It answers
from one thread at a time, and ends as soon as its standard input closes, whatever it is doing.
Each object carries `"say"`, the name of the message, and the fields of its class in `messages`:

    bench says          the worker answers
    open                opened: the model is loaded and has labelled the first text
    token_workload      ready: every input was run, and then more until times settled
    text_workload       ready
    run                 ran: the times of that many runs, after some that are not counted
    serve               served: the latencies of inputs that arrived at given times
    label               labels: of given texts
    any of these        failed: what went wrong; bench then ends the worker

For example (abridged):

    > {"say": "open", "protocol": 2, "engine": "torch", "path": "runs/x", "first": ["hello"], …}
    < {"say": "opened", "imports_s": 2.1, "load_s": 0.4, "first_run_s": 0.02, "labels": [3], …}
    > {"say": "token_workload", "name": "2x3", "batches": [[[101, 7, 102], [101, 9, 102]]]}
    < {"say": "ready", "warm_up_runs": 14, "stable": true, "run_ms": 4.1, "labels": [3, 0], …}
    > {"say": "run", "workload": "2x3", "first": 0, "repeats": 2, "warm_up_ms": 30}
    < {"say": "ran", "samples_ms": [4.1, 4.2], "peak_memory_bytes": 410000000}

`labels` are label ids in the order of the inputs: one a text for text-classification, one a token
(special tokens left out where the input is text) for token-classification; -1 for a token that the
engine did not read. They tell whether engines agree, so they must come from the very runs that are
timed. Fields that have a default may be left out.

The cold start's total is taken by bench's own clock, from starting the process to reading
`opened`; the worker tells the parts. bertedge's own worker makes ONNX graphs and profiles them
too (`export`, `profile_graph`).
"""

import json
import re
from typing import TypeVar

from bertedge import serialization
from bertedge.bench.messages import (
    Export,
    Exported,
    Failed,
    Label,
    Labels,
    Open,
    Opened,
    Profiled,
    ProfileGraph,
    Ran,
    Ready,
    Run,
    Serve,
    Served,
    TextWorkload,
    TokenWorkload,
)


class ProtocolError(ValueError):
    """A line is no message; the text says why."""


Request = Open | TokenWorkload | TextWorkload | Run | Serve | Label | Export | ProfileGraph
Answer = Opened | Ready | Ran | Served | Labels | Exported | Profiled | Failed
T = TypeVar("T", bound=Request | Answer)
_REQUESTS: tuple[type[Request], ...] = (
    Open,
    TokenWorkload,
    TextWorkload,
    Run,
    Serve,
    Label,
    Export,
    ProfileGraph,
)
_ANSWERS: tuple[type[Answer], ...] = (
    Opened,
    Ready,
    Ran,
    Served,
    Labels,
    Exported,
    Profiled,
    Failed,
)


def encode(message: Request | Answer) -> str:
    """Write a message as one line of JSON, newline included."""
    plain = {"say": _say(type(message)), **serialization.to_plain(message)}
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
        return serialization.from_plain(kind, fields)
    except serialization.RecordError as error:
        raise ProtocolError(str(error)) from None
