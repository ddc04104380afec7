"""The engines that a worker can run: what each offers, and the table of bertedge's own.

Their modules are imported when one is loaded: an engine must not pay for another's imports.
"""

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bertedge.bench.messages import Open, TextWorkload, TokenWorkload
from bertedge.errors import SettingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Labels = NDArray[np.int64]

UNREAD = -1
"""The label of a token that an engine did not read, for it cuts texts that are too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A workload whose inputs are made, so that a run does nothing but the work."""

    inputs: int
    run: "Callable[[int], Labels]"
    """Runs one input, by number, and gives its labels."""
    batching: str | None = None
    """How it labels many texts at once, where it chose that itself."""


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


def find_backend(backends: Mapping[str, BackendSpec] | None, name: str) -> BackendSpec:
    """Return the backend called `name`, or the only one; None stands for bertedge's own."""
    kinds = BACKENDS if backends is None else backends
    if len(kinds) == 1:
        return next(iter(kinds.values()))
    if name not in kinds:
        raise SettingError(f"engine is {name!r}; choose one of {', '.join(kinds)}")
    return kinds[name]


def import_libraries(kind: BackendSpec) -> None:
    """Import all that the model will need."""
    for module in kind.imports:
        importlib.import_module(module)


def versions(kind: BackendSpec) -> dict[str, str]:
    """Give the versions of the libraries at work."""
    found = {}
    for name in kind.libraries:
        for package in (name, f"{name}-gpu"):
            try:
                found[name] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


_TORCH = ("torch", "transformers")
_TOKENS = ("tokenizers", "numpy")
_DECODING = "bertedge.runtime.decoding"


def _torch(request: Open) -> Backend:
    from bertedge.bench.backends import torch as backend

    return backend.load_torch(request)


def _compile(request: Open) -> Backend:
    from bertedge.bench.backends import torch as backend

    return backend.load_compiled(request)


def _bundle(request: Open) -> Backend:
    from bertedge.bench.backends import bertedge as backend

    return backend.load(request)


def _pipeline(request: Open) -> Backend:
    from bertedge.bench.backends import pipeline as backend

    return backend.load_transformers(request)


def _optimum(request: Open) -> Backend:
    from bertedge.bench.backends import pipeline as backend

    return backend.load_optimum(request)


def _plain(request: Open) -> Backend:
    from bertedge.bench.backends import onnxruntime as backend

    return backend.load(request)


def _sentences(request: Open) -> Backend:
    from bertedge.bench.backends import sentence_transformers as backend

    return backend.load(request)


BACKENDS = {
    "torch": BackendSpec(
        imports=(*_TORCH, "bertedge.checkpoint", _DECODING),
        libraries=(*_TORCH, *_TOKENS),
        load=_torch,
    ),
    "compile": BackendSpec(
        imports=(*_TORCH, "bertedge.checkpoint", _DECODING),
        libraries=(*_TORCH, *_TOKENS),
        load=_compile,
    ),
    "pipeline": BackendSpec(
        imports=(*_TORCH, "bertedge.bench.backends.pipeline"),
        libraries=(*_TORCH, *_TOKENS),
        load=_pipeline,
    ),
    "sentence-transformers": BackendSpec(
        imports=("sentence_transformers", *_TORCH, "bertedge.bench.backends.sentence_transformers"),
        libraries=("sentence-transformers", *_TORCH, *_TOKENS),
        load=_sentences,
    ),
    "optimum": BackendSpec(
        imports=("optimum.onnxruntime", *_TORCH, "bertedge.bench.backends.pipeline"),
        libraries=("optimum-onnx", "onnxruntime", *_TORCH, *_TOKENS),
        load=_optimum,
    ),
    "onnxruntime": BackendSpec(
        imports=("onnxruntime", *_TOKENS, "bertedge.bench.backends.onnxruntime"),
        libraries=("onnxruntime", *_TOKENS),
        load=_plain,
    ),
    "bundle": BackendSpec(
        imports=("onnxruntime", "bertedge.runtime.predictor"),
        libraries=("onnxruntime", *_TOKENS),
        load=_bundle,
    ),
}
