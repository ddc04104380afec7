"""The weights that a graph is built of, each held against the shape that the config implies."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertedge.checkpoint.files import shown
from bertedge.checkpoint.tensors import Tensor
from bertedge.errors import CheckpointError

Array = NDArray[np.float32]
_LEGACY = {"weight": "gamma", "bias": "beta"}
"""What the first BERTs called these of a layer norm."""


class Weights:
    """A checkpoint's weights by name, in fp32."""

    def __init__(self, folder: Path, tensors: Sequence[Tensor], prefix: str) -> None:
        """Take the `tensors` of `folder`; names in the encoder may lack its `prefix`."""
        self._folder = folder
        self._tensors = {tensor.name: tensor for tensor in tensors if tensor.is_float}
        self._prefix = f"{prefix}."
        self._replaced: dict[str, Array] = {}

    def replace(self, name: str, array: Array) -> None:
        """Take `array` for the weights `name` from now on."""
        self._replaced[name] = array

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a weight's shape; CheckpointError where there is none of that name."""
        return self._replaced[name].shape if name in self._replaced else self._find(name).shape

    def has(self, name: str) -> bool:
        """Return whether there is a weight of that name."""
        return any(each in self._tensors for each in self._names(name))

    def first_of(self, names: Sequence[str]) -> str:
        """Return the first name of several that the checkpoint has; the first where none is."""
        return next((name for name in names if self.has(name)), names[0])

    def take(self, name: str, *shape: int) -> Array:
        """Return the weights `name`.

        CheckpointError where they are not there, not of this shape, or not finite.
        """
        if name in self._replaced:
            return self._replaced[name]
        tensor = self._find(name)
        tensor.check_shape(shape)
        return tensor.read_finite()

    def _find(self, name: str) -> Tensor:
        found = next((each for each in self._names(name) if each in self._tensors), None)
        if found is None:
            raise CheckpointError(
                f"{shown(self._folder)} lacks {name}; the file is incomplete, of another model, or "
                "the model was never fine-tuned"
            )
        return self._tensors[found]

    def _names(self, name: str) -> list[str]:
        names = [name, name.removeprefix(self._prefix)]
        stem, _, last = name.rpartition(".")
        if last in _LEGACY:
            old = f"{stem}.{_LEGACY[last]}"
            names += [old, old.removeprefix(self._prefix)]
        return names
