"""What a bundle records of the checkpoint that it was made from."""

import hashlib
from pathlib import Path

import transformers

from bertedge.bundle import Source, hash_file
from bertedge.checkpoint.weights import count_parameters, weight_files


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
        parameters=count_parameters(folder),
        sha256=hashes[0]
        if len(hashes) == 1
        else hashlib.sha256("".join(hashes).encode()).hexdigest(),
    )


def plain_name(name: str) -> str:
    """Shorten the path of a directory to its own name; a hub id stays as it is."""
    return Path(name).resolve().name if Path(name).is_dir() else name
