"""A checkpoint's safetensors files: what is in them, held against the config before it is loaded.

The header of a file tells every tensor's shape, so that a config which promises other sizes, or
sizes that no memory holds, is found before anything is allocated.
"""

import hashlib
import itertools
import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open

from bertedge.bundle import Source, hash_file
from bertedge.checkpoint.files import INDEX, WEIGHTS, check_regular, read_object, shown
from bertedge.errors import CheckpointError, library_errors

MOST_HEADER = 16 * 2**20
"""Bytes; a model of ten thousand tensors needs one or two million."""
MOST_SHARDS = 1_000
_FLOATS = ("F64", "F32", "F16", "BF16")
_INTEGERS = ("I64", "I32", "I16", "I8", "U8", "BOOL")
"""Of buffers such as position ids."""
_LEGACY = {"gamma": "weight", "beta": "bias"}
"""What the first BERTs called these of a LayerNorm, and transformers renames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor of a file."""

    name: str
    shape: tuple[int, ...]
    file: Path


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
    return list(itertools.chain.from_iterable(map(_read_header, weight_files(folder))))


def check_weights(
    folder: Path, config: transformers.PretrainedConfig, kind: Any, *, whole: bool
) -> None:
    """Hold the weights against the config, and look at every number of them.

    `kind` is the Auto class that will load them; `whole` asks for its head too, otherwise the
    encoder is enough. CheckpointError for a shape that the config does not imply, for an encoder
    that is not all there, and for NaN or infinity, which would give answers without a warning.
    """
    tensors = read_tensors(folder)
    with library_errors(f"{shown(folder / 'config.json')} describes no model"):
        wanted, prefix = _wanted_shapes(config, kind)
    found = set()
    for tensor in tensors:
        name = _own_name(tensor.name, wanted, prefix)
        if name is None or not (whole or name.startswith(prefix)):
            continue
        found.add(name)
        if tensor.shape != wanted[name]:
            raise CheckpointError(
                f"{shown(tensor.file)}: {tensor.name} has the shape {_by(tensor.shape)}, and "
                f"config.json asks for {_by(wanted[name])}; they do not belong together"
            )
    encoder = {name for name in wanted if name.startswith(prefix) and ".pooler." not in f".{name}"}
    missing = sorted(encoder - found)
    if missing:
        raise CheckpointError(
            f"{shown(folder)} lacks {len(missing)} of the encoder's {len(encoder)} tensors, such "
            f"as {missing[0]}; the file is incomplete, or of another model"
        )
    _check_numbers(folder)


def read_source(folder: Path, config: transformers.PretrainedConfig, name: str) -> Source:
    """Describe the model: its sizes and the hash of its weights."""
    hashes = [hash_file(path) for path in weight_files(folder)]
    return Source(
        name=plain_name(name),
        architecture=config.model_type,
        layers=int(config.num_hidden_layers),
        hidden_size=int(config.hidden_size),
        heads=int(config.num_attention_heads),
        vocabulary=int(config.vocab_size),
        parameters=sum(math.prod(tensor.shape) for tensor in read_tensors(folder)),
        sha256=hashes[0]
        if len(hashes) == 1
        else hashlib.sha256("".join(hashes).encode()).hexdigest(),
    )


def plain_name(name: str) -> str:
    """Shorten the path of a directory to its own name; a hub id stays as it is."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def _read_header(path: Path) -> Iterator[Tensor]:
    size = check_regular(path)
    with path.open("rb") as file:
        start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
    if length > min(MOST_HEADER, size):
        raise CheckpointError(
            f"{shown(path)} is damaged: its header would have {length:,} bytes; copy it again"
        )
    with (
        library_errors(f"{shown(path)} is damaged", "copy it again"),
        safe_open(path, "pt") as file,
    ):
        style = (file.metadata() or {}).get("format", "pt")
        tensors = [_tensor(path, name, file.get_slice(name)) for name in file.keys()]  # noqa: SIM118
    if style not in ("pt", "mlx"):
        raise CheckpointError(
            f"{shown(path)} was saved from {style!r}, not from PyTorch; load it there, and save "
            "it from PyTorch"
        )
    yield from tensors


def _tensor(path: Path, name: str, part: Any) -> Tensor:
    if part.get_dtype() not in (*_FLOATS, *_INTEGERS):
        raise CheckpointError(
            f"{shown(path)}: {name} has the type {part.get_dtype()}; save the model in fp32, fp16 "
            "or bf16"
        )
    return Tensor(name=name, shape=tuple(part.get_shape()), file=path)


def _wanted_shapes(
    config: transformers.PretrainedConfig, kind: Any
) -> tuple[dict[str, tuple[int, ...]], str]:
    """Return the shape of every tensor of the model by name, and the start of the encoder's."""
    with torch.device("meta"):  # shapes alone: nothing is allocated
        model = kind.from_config(config, trust_remote_code=False)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    prefix = f"{model.base_model_prefix}."
    inside = any(name.startswith(prefix) for name in shapes)
    return (shapes, prefix) if inside else ({prefix + k: v for k, v in shapes.items()}, prefix)


def _own_name(name: str, wanted: dict[str, tuple[int, ...]], prefix: str) -> str | None:
    stem, _, last = name.rpartition(".")
    if last in _LEGACY:
        name = f"{stem}.{_LEGACY[last]}"
    return next((each for each in (name, prefix + name) if each in wanted), None)


def _check_numbers(folder: Path) -> None:
    for path in weight_files(folder):
        with (
            library_errors(f"{shown(path)} is damaged", "copy it again"),
            safe_open(path, "pt") as f,
        ):
            for name in f.keys():  # noqa: SIM118
                tensor = f.get_tensor(name)
                if not tensor.is_floating_point() or tensor.numel() == 0:
                    continue
                # The least and the largest are NaN where any is, and nothing is allocated.
                ends = torch.stack(torch.aminmax(tensor))
                if not torch.isfinite(ends).all():
                    raise CheckpointError(
                        f"{shown(path)} has NaN or infinity in {name}: the training that wrote it "
                        "failed, or the file is damaged; train it again with a lower learning rate"
                    )


def _by(shape: tuple[int, ...]) -> str:
    return " by ".join(str(size) for size in shape) or "a number"
