"""What bench and an engine's process say to each other: every message and its fields."""

from dataclasses import dataclass

from bertedge.spec import Pooling, Task

PROTOCOL = 3
"""Raised whenever a message or a field is added, removed or changes its meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Load a model, label one text, and say how long each part took."""

    protocol: int
    engine: str
    """The kind of engine, such as "torch" or "bundle"; a worker of one kind may ignore it."""
    path: str
    """The checkpoint's or the bundle's directory, or what the engine's file says."""
    variant: str | None
    """Of the bundle."""
    precision: str
    device: str
    """See `runtime.providers`."""
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
    scratch: str
    """A folder for files that need not outlive the bench."""
    pooling: Pooling | None = None
    """How hidden states become embeddings, which are answered in millionths, one text's numbers
    after the other's; None for other tasks."""


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
    """True: a run labels all texts, in such batches as a user of the engine would have; False: a
    run labels one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Time a prepared workload: input `first`, then the one after it, and so on in a circle."""

    workload: str
    first: int
    repeats: int
    warm_up_ms: float
    """Before: runs of the first input that are not counted, as many as fill this time; 0: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """Run inputs of a prepared workload one at a time as they arrive, first come first.

    Input `first` arrives so many seconds after the answer to this request has begun, then the one
    after it, and so on in a circle. An engine that is late goes on with the next at once.
    """

    workload: str
    first: int
    arrivals_s: tuple[float, ...]
    """Rising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Label texts, untimed, as a run of all at once does."""

    texts: tuple[tuple[str, ...], ...]


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

    model: str
    disabled_optimizers: tuple[str, ...]
    optimized: bool
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
    batching: str | None = None
    """How it labels many texts at once, where it chose that itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A turn is over."""

    samples_ms: tuple[float, ...]
    peak_memory_bytes: int | None
    uncounted_runs: int = 0
    """Made before, to warm up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """All that arrived has been answered."""

    latencies_ms: tuple[float, ...]
    """From each intended arrival to its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What `label` asked for, in the order of the texts."""

    labels: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The graphs that could be made."""

    exported: str | None
    """As it leaves PyTorch, fp32."""
    fused: str | None
    """With the transformer fusions that suit the CPU."""
    int8: str | None
    """The exported one, quantized dynamically per channel."""
    problem: str | None
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
