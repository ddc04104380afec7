"""The engines that a worker can run: what each offers, and the table of bertedge's own.

Their modules are imported when one is loaded: an engine must not pay for another's imports.
"""

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bertedge.bench.protocol import Open, Output, TextWorkload, TokenWorkload
from bertedge.errors import SettingError


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


class Backend(Protocol):
    """A loaded model with its tokenizer."""

    @property
    def runs_on(self) -> str:
        """The device or execution provider that really runs it."""

    def tokens(self, workload: TokenWorkload) -> Prepared:
        """Make batches of token ids ready to run."""

    def texts(self, workload: TextWorkload) -> Prepared:
        """Make texts ready to run, one by one or all at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """An engine as the table lists it: how a loaded one comes to be."""

    imports: tuple[str, ...]
    """All that the model will need, imported first and timed apart."""
    libraries: tuple[str, ...]
    """Distributions whose versions are told; one of the same name and `-gpu` will do."""
    load: Callable[[Open], Backend]

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


def as_texts(workload: TextWorkload) -> list[Any]:
    """Return texts as strings and pairs as tuples."""
    return [text[0] if len(text) == 1 else text for text in workload.texts]


def _own(module: str, load: str, imports: tuple[str, ...], *libraries: str) -> BackendSpec:
    """Return the spec of a module of this package, imported with its libraries."""
    place = f"{__name__}.{module}"

    def call(request: Open) -> Backend:
        loaded: Backend = getattr(importlib.import_module(place), load)(request)
        return loaded

    return BackendSpec(
        imports=(*imports, place), libraries=(*libraries, "tokenizers", "numpy"), load=call
    )


_TORCH = ("torch", "transformers")
_OURS = (*_TORCH, "bertedge.checkpoint")
BACKENDS = {
    "torch": _own("bertedge", "load_torch", _OURS, *_TORCH),
    "compile": _own("bertedge", "load_compiled", _OURS, *_TORCH),
    "pipeline": _own("pipeline", "load_transformers", _TORCH, *_TORCH),
    "sentence-transformers": _own(
        "sentence_transformers",
        "load",
        ("sentence_transformers", *_TORCH),
        *("sentence-transformers", *_TORCH),
    ),
    "optimum": _own(
        "pipeline",
        "load_optimum",
        ("optimum.onnxruntime", *_TORCH),
        *("optimum-onnx", "onnxruntime", *_TORCH),
    ),
    "onnxruntime": _own("onnxruntime", "load", ("onnxruntime", "tokenizers"), "onnxruntime"),
    "bundle": _own("bertedge", "load_bundle", ("onnxruntime", "bertedge.predictor"), "onnxruntime"),
}
