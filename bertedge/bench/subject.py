"""The model that a worker runs, whatever runs it: loaded, and asked for labels."""

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


class Subject(Protocol):
    """A loaded model with its tokenizer."""

    @property
    def runs_on(self) -> str:
        """The device or execution provider that really runs it."""

    def tokens(self, workload: TokenWorkload) -> Prepared:
        """Make batches of token ids ready to run."""

    def texts(self, workload: TextWorkload) -> Prepared:
        """Make texts ready to run, one by one or all at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of engine: how its subjects come to be."""

    imports: tuple[str, ...]
    """All that the model will need, imported first and timed apart."""
    libraries: tuple[str, ...]
    """Distributions whose versions are told; one of the same name and `-gpu` will do."""
    load: Callable[[Open], Subject]


def find_kind(kinds: Mapping[str, Kind] | None, name: str) -> Kind:
    """Give the kind called `name`, or the only one there is; None stands for bertedge's own."""
    if kinds is None:
        from bertedge.bench.kinds import KINDS

        kinds = KINDS
    if len(kinds) == 1:
        return next(iter(kinds.values()))
    if name not in kinds:
        raise SettingError(f"engine is {name!r}; choose one of {', '.join(kinds)}")
    return kinds[name]


def import_libraries(kind: Kind) -> None:
    """Import all that the model will need."""
    for module in kind.imports:
        importlib.import_module(module)


def versions(kind: Kind) -> dict[str, str]:
    """Give the versions of the libraries at work."""
    found = {}
    for name in kind.libraries:
        for package in (name, f"{name}-gpu"):
            try:
                found[name] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
    return found
