"""A checkpoint's safetensors files: what is in them, held against the config before it is loaded.

The header of a file tells every tensor's shape, so that a config which promises other sizes, or
sizes that no memory holds, is found before anything is allocated.
"""

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import transformers

from bertedge.bundle import Source, hash_file
from bertedge.checkpoint.files import shown
from bertedge.checkpoint.tensors import read_header, read_tensors, weight_files
from bertedge.errors import CheckpointError, library_errors

_LEGACY = {"gamma": "weight", "beta": "bias"}
"""What the first BERTs called these of a LayerNorm, and transformers renames."""


_SAVED_AS = {
    "nomic_bert": {
        "layers.": "encoder.layers.",
        "embeddings.LayerNorm.": "emb_ln.",
        "self_attn.o_proj.": "attn.out_proj.",
        "mlp.up_proj.": "mlp.fc11.",
        "mlp.gate_proj.": "mlp.fc12.",
        "mlp.down_proj.": "mlp.fc2.",
        "post_attention_layernorm.": "norm1.",
        "post_mlp_layernorm.": "norm2.",
    }
}
"""What transformers calls parts of a model, and what their files do."""
_PACKED = ("self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj.")
"""Parts that such files hold as one, `attn.Wqkv`."""


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
        tensor.check_shape(wanted[name])
    encoder = {name for name in wanted if name.startswith(prefix) and ".pooler." not in f".{name}"}
    missing = sorted(encoder - found)
    if missing:
        raise CheckpointError(
            f"{shown(folder)} lacks {len(missing)} of the encoder's {len(encoder)} tensors, such "
            f"as {missing[0]}; the file is incomplete, or of another model"
        )
    for tensor in tensors:
        if tensor.is_float:
            tensor.read_finite()


def read_source(
    folder: Path, config: transformers.PretrainedConfig, name: str, more: Sequence[Path]
) -> Source:
    """Describe the model: its sizes and the hash of its weights, `more` of which lie elsewhere."""
    hashes = [hash_file(path) for path in (*weight_files(folder), *more)]
    tensors = itertools.chain(read_tensors(folder), *map(read_header, more))
    return Source(
        name=plain_name(name),
        architecture=config.model_type,
        layers=int(config.num_hidden_layers),
        hidden_size=int(config.hidden_size),
        heads=int(config.num_attention_heads),
        vocabulary=int(config.vocab_size),
        parameters=sum(math.prod(tensor.shape) for tensor in tensors),
        sha256=hashes[0]
        if len(hashes) == 1
        else hashlib.sha256("".join(hashes).encode()).hexdigest(),
    )


def plain_name(name: str) -> str:
    """Shorten the path of a directory to its own name; a hub id stays as it is."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def _wanted_shapes(
    config: transformers.PretrainedConfig, kind: Any
) -> tuple[dict[str, tuple[int, ...]], str]:
    """Return the shape of every tensor of the model by name, and the start of the encoder's."""
    import torch

    with torch.device("meta"):  # shapes alone: nothing is allocated
        model = kind.from_config(config, trust_remote_code=False)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    shapes = _saved_shapes(shapes, _SAVED_AS.get(config.model_type, {}))
    prefix = f"{model.base_model_prefix}."
    inside = any(name.startswith(prefix) for name in shapes)
    return (shapes, prefix) if inside else ({prefix + k: v for k, v in shapes.items()}, prefix)


def _saved_shapes(
    shapes: dict[str, tuple[int, ...]], names: Mapping[str, str]
) -> dict[str, tuple[int, ...]]:
    """Return the shapes by the names of files, where those are not the model's."""
    if not names:
        return shapes
    query, key, value = _PACKED
    found = {}
    for name, shape in shapes.items():
        if key in name or value in name:
            continue
        rows = 3 * shape[0] if query in name else shape[0]
        saved = name.replace(query, "attn.Wqkv.")
        for own, theirs in names.items():
            saved = saved.replace(own, theirs)
        found[saved] = (rows, *shape[1:])
    return found


def _own_name(name: str, wanted: dict[str, tuple[int, ...]], prefix: str) -> str | None:
    stem, _, last = name.rpartition(".")
    if last in _LEGACY:
        name = f"{stem}.{_LEGACY[last]}"
    return next((each for each in (name, prefix + name) if each in wanted), None)
