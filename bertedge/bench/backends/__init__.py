"""The engines that a worker can run: what each offers and needs, and the table of bertedge's own.

Their modules are imported when one is loaded: an engine must not pay for another's imports.
"""

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bertedge.bench.protocol import Open, Output, TextWorkload, TokenWorkload
from bertedge.errors import SettingError
from bertedge.spec import LabelKind

T = TypeVar("T")
BATCH = 32
"""Texts; what transformers' pipeline is usually given, too."""
PACKED = "batches of a token budget, sorted by length"
IN_ORDER = f"{BATCH} texts a batch, in their order"
BY_LENGTH = f"{BATCH} texts a batch, sorted by length"
AS_PREDICTOR = "as the predictor packs them, sorted by length"
BOTH = ("tokens", "texts")

ALONE = "bench gives intents with slots to PyTorch and the bundle alone: no pipeline finds both"
NO_PIPELINE = "bench gives choices to PyTorch and the bundle alone: transformers has no pipeline"
NOT_POOLED = "it gives every token a vector, and leaves it to the user to pool them"
NO_WINDOWS = "it makes no windows over contexts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A workload whose inputs are made, so that a run does nothing but the work."""

    inputs: int
    run: Callable[[int], Any]
    """Runs one input, by number, and returns what a user of the engine gets."""
    read: Callable[[Any], Sequence[Output]]
    """Turns that into the outputs of the protocol, untimed."""
    batching: str | None = None
    """How it makes batches of many texts, where it chose that itself."""

    def outputs(self, number: int) -> list[Output]:
        """Run one input and return its outputs."""
        return list(self.read(self.run(number)))


def prepare(
    inputs: Sequence[T],
    run: Callable[[T], Any],
    read: Callable[[Any], Sequence[Output]],
    batching: str | None = None,
) -> Prepared:
    """Return the workload of these inputs."""
    return Prepared(
        inputs=len(inputs), run=lambda number: run(inputs[number]), read=read, batching=batching
    )


def as_texts(workload: TextWorkload) -> list[Any]:
    """Return texts as strings and pairs as tuples."""
    return [text[0] if len(text) == 1 else text for text in workload.texts]


def prepare_texts(
    workload: TextWorkload,
    run: Callable[[list[Any]], Any],
    read: Callable[[Any], Sequence[Output]],
    batching: str,
) -> Prepared:
    """Return the workload of texts, which `run` is given as lists."""
    texts = as_texts(workload)
    if workload.at_once:
        return prepare([texts], run, read, batching)
    return prepare([[text] for text in texts], run, read)


def no_tokens(workload: TokenWorkload) -> Prepared:
    """Raise SettingError: the engine takes texts alone."""
    raise SettingError("this engine takes texts alone, no token ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A loaded model with its tokenizer."""

    runs_on: str
    """The device or execution provider that really runs it."""
    texts: Callable[[TextWorkload], Prepared]
    """Makes texts ready to run, one by one or all at once."""
    tokens: Callable[[TokenWorkload], Prepared] = no_tokens
    """Makes batches of token ids ready to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """An engine as the table lists it: how a loaded one comes to be, and what it needs."""

    imports: tuple[str, ...]
    """All that the model will need, imported first and timed apart."""
    libraries: tuple[str, ...]
    """Distributions whose versions are told; one of the same name and `-gpu` will do."""
    load: Callable[[Open], Backend]
    batching: str = ""
    """How it makes batches of many texts."""
    takes: tuple[str, ...] = BOTH
    slow: bool = False
    """True where it takes long to start, so that --quick leaves it out."""
    without: Mapping[LabelKind, str] = field(default_factory=dict)
    """Why it has nothing to say of some tasks."""
    needs: str = ""
    """A package that the bench extra does not bring; how to `install` it."""
    install: str = ""

    def import_libraries(self) -> None:
        """Import all that the model will need."""
        for module in self.imports:
            importlib.import_module(module)

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries at work."""
        found = {}
        for name in self.libraries:
            for package in (name, f"{name}-gpu"):
                try:
                    found[name] = importlib.metadata.version(package)
                except importlib.metadata.PackageNotFoundError:
                    continue
        return found


def find_backend(backends: Mapping[str, BackendSpec] | None, name: str) -> BackendSpec:
    """Return the backend called `name`, or the only one; None stands for bertedge's own."""
    backends = backends or BACKENDS
    if len(backends) == 1:
        return next(iter(backends.values()))
    if name not in backends:
        raise SettingError(f"engine is {name!r}; choose one of {', '.join(backends)}")
    return backends[name]


def _own(
    module: str, imports: Sequence[str], *libraries: str, load: str = "load", **needs: Any
) -> BackendSpec:
    """Return the spec of a module of this package, imported with its libraries."""
    place = f"{__name__}.{module}"

    def call(request: Open) -> Backend:
        loaded: Backend = getattr(importlib.import_module(place), load)(request)
        return loaded

    return BackendSpec(
        imports=(*imports, place),
        libraries=(*libraries, "tokenizers", "numpy"),
        load=call,
        **needs,
    )


_TORCH = ("torch", "transformers")
_OURS = (*_TORCH, "bertedge.checkpoint")
_TEXTS: dict[str, Any] = {"takes": ("texts",), "slow": True}
_EXPORTED: dict[str, Any] = {
    "batching": IN_ORDER,
    "slow": True,
    "needs": "optimum",
    "install": "pip install 'bertedge[optimum]'",
}
_UNKNOWN = {LabelKind.INTENT_AND_TAGS: ALONE, LabelKind.CHOICES: NO_PIPELINE}
"""To transformers."""
_NO_EXPORT = {LabelKind.VECTOR: NOT_POOLED, **_UNKNOWN}
BACKENDS = {
    "torch": _own("bertedge", _OURS, *_TORCH, load="load_torch", batching=PACKED),
    "compile": _own("bertedge", _OURS, *_TORCH, load="load_compiled", batching=PACKED, slow=True),
    "pipeline": _own(
        "pipeline",
        _TORCH,
        *_TORCH,
        load="load_transformers",
        batching=IN_ORDER,
        without=_UNKNOWN,
        **_TEXTS,
    ),
    "sentence-transformers": _own(
        "sentence_transformers",
        ("sentence_transformers", *_TORCH),
        *("sentence-transformers", *_TORCH),
        batching=BY_LENGTH,
        needs="sentence_transformers",
        install="pip install sentence-transformers",
        **_TEXTS,
    ),
    "optimum": _own(
        "pipeline",
        ("optimum.onnxruntime", *_TORCH),
        *("optimum-onnx", "onnxruntime", *_TORCH),
        load="load_optimum",
        without=_NO_EXPORT,
        **_EXPORTED,
    ),
    "onnxruntime": _own(
        "onnxruntime",
        ("onnxruntime", "tokenizers"),
        "onnxruntime",
        without={**_NO_EXPORT, LabelKind.SPANS: NO_WINDOWS},
        **_EXPORTED,
    ),
    "bundle": _own(
        "bertedge",
        ("onnxruntime", "bertedge.predictor"),
        *("onnxruntime", "bertedge"),
        load="load_bundle",
        batching=AS_PREDICTOR,
    ),
}
