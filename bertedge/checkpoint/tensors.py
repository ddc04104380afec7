"""The tensors of safetensors files as numpy arrays, without torch: mapped, and read when taken."""

import itertools
import json
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from bertedge.checkpoint.files import INDEX, WEIGHTS, check_regular, read_object, shown
from bertedge.errors import CheckpointError, library_errors

MOST_HEADER = 16 * 2**20
"""Bytes; a model of ten thousand tensors needs one or two million."""
MOST_SHARDS = 1_000
_FLOATS: Mapping[str, str] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_INTEGERS = ("I64", "I32", "I16", "I8", "U8", "BOOL")
"""Of buffers such as position ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor of a file."""

    name: str
    dtype: str
    """As safetensors names it: F32, BF16, …"""
    shape: tuple[int, ...]
    file: Path
    start: int
    """Bytes from the start of the file."""

    @property
    def is_float(self) -> bool:
        """Whether it holds weights, not numbers of positions."""
        return self.dtype in _FLOATS

    def read(self) -> NDArray[np.float32]:
        """Return its values in fp32 `shape`; those that are fp32 in the file are mapped."""
        kind = np.dtype(_FLOATS[self.dtype])
        if 0 in self.shape:
            return np.zeros(self.shape, np.float32)
        raw = np.memmap(self.file, kind, "r", self.start, shape=self.shape or (1,))
        if self.dtype == "BF16":  # the upper half of an fp32
            return (raw.astype(np.uint32) << 16).view(np.float32).reshape(self.shape)
        return np.asarray(raw.astype(np.float32, copy=False)).reshape(self.shape)

    def read_finite(self) -> NDArray[np.float32]:
        """Return its values; CheckpointError for NaN and infinity, found without a copy."""
        array = self.read()
        # The least and the largest are NaN where any is.
        if array.size and not np.isfinite([array.min(), array.max()]).all():
            raise CheckpointError(
                f"{shown(self.file)} has NaN or infinity in {self.name}: the training that wrote "
                "it failed, or the file is damaged; train it again with a lower learning rate"
            )
        return array

    def check_shape(self, wanted: tuple[int, ...]) -> None:
        """Raise CheckpointError where it has another shape than the config asks for."""
        if self.shape != wanted:
            raise CheckpointError(
                f"{shown(self.file)}: {self.name} has the shape {_by(self.shape)}, and "
                f"config.json asks for {_by(wanted)}; they do not belong together"
            )


def weight_files(folder: Path) -> list[Path]:
    """List the weights' files; CheckpointError where the index names others than are there."""
    whole = folder / WEIGHTS
    if os.path.lexists(whole):
        return [whole]
    index = folder / INDEX
    table = read_object(index).get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise CheckpointError(f"{shown(index)} has no weight_map of names; copy the model again")
    names = sorted(set(table.values()))
    if not names or len(names) > MOST_SHARDS:
        raise CheckpointError(f"{shown(index)} names {len(names):,} files; copy the model again")
    odd = next((name for name in names if Path(name).name != name or "\0" in name), None)
    if odd is not None:
        raise CheckpointError(f"{shown(index)} names {shown(odd)}, which is not a file beside it")
    missing = next((name for name in names if not (folder / name).exists()), None)
    if missing is not None:
        raise CheckpointError(f"{shown(folder / missing)} is missing; copy the model again")
    return [folder / name for name in names]


def read_tensors(folder: Path) -> list[Tensor]:
    """Read the headers of the weights' files; CheckpointError where one is damaged."""
    return list(itertools.chain.from_iterable(map(read_header, weight_files(folder))))


def read_metadata(path: Path) -> dict[str, str]:
    """Read what is noted in a safetensors file beside its tensors."""
    with (
        library_errors(f"{shown(path)} is damaged", "copy it again"),
        safe_open(path, "np") as opened,
    ):
        return opened.metadata() or {}


def read_header(path: Path) -> Iterator[Tensor]:
    """Yield the tensors of a file; CheckpointError where it is damaged."""
    size = check_regular(path)
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(MOST_HEADER, size):
            raise CheckpointError(
                f"{shown(path)} is damaged: its header would have {length:,} bytes; copy it again"
            )
        header = file.read(length)
    with (
        library_errors(f"{shown(path)} is damaged", "copy it again"),
        safe_open(path, "np") as opened,  # which checks every size and place in the header
    ):
        style = (opened.metadata() or {}).get("format", "pt")
        parts: dict[str, Any] = json.loads(header)
        places = {name: parts[name] for name in opened.keys()}  # noqa: SIM118
    if style not in ("pt", "mlx", "np"):
        raise CheckpointError(
            f"{shown(path)} was saved from {style!r}, not from PyTorch; load it there, and save "
            "it from PyTorch"
        )
    for name, part in places.items():
        if part["dtype"] not in (*_FLOATS, *_INTEGERS):
            raise CheckpointError(
                f"{shown(path)}: {name} has the type {part['dtype']}; save the model in fp32, fp16 "
                "or bf16"
            )
        yield Tensor(
            name=name,
            dtype=part["dtype"],
            shape=tuple(part["shape"]),
            file=path,
            start=8 + length + part["data_offsets"][0],
        )


def _by(shape: tuple[int, ...]) -> str:
    return " by ".join(str(size) for size in shape) or "a number"
