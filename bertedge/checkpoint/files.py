"""The small files of a checkpoint: which there may be, of what kind and size, and their JSON."""

import os
import stat
from pathlib import Path

from bertedge.errors import CheckpointError, shorten
from bertedge.serialization import RecordError, parse_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
MIB = 2**20
LIMITS = {
    "config.json": 16 * MIB,
    "tokenizer.json": 64 * MIB,
    "tokenizer_config.json": 16 * MIB,
    "special_tokens_map.json": MIB,
    "added_tokens.json": 4 * MIB,
    "vocab.txt": 32 * MIB,
    "vocab.json": 32 * MIB,
    "merges.txt": 32 * MIB,
    "sentencepiece.bpe.model": 64 * MIB,
    "spiece.model": 64 * MIB,
    "tokenizer.model": 64 * MIB,
    "chat_template.jinja": MIB,
    "training.json": 16 * MIB,
    "modules.json": MIB,
    "sentence_bert_config.json": MIB,
    "config_sentence_transformers.json": MIB,
    "config_setfit.json": 16 * MIB,
    "generation_config.json": MIB,
    INDEX: 16 * MIB,
}
"""Bytes of the files that we or transformers read whole: several times what real ones have."""
_NAME = 80
"""Characters of a path in a message."""


def check_files(folder: Path) -> None:
    """Raise CheckpointError where a file of the checkpoint is none, or larger than any real one.

    A pipe or a device would be read without end.
    """
    for name, limit in LIMITS.items():
        path = folder / name
        if os.path.lexists(path):
            size = check_regular(path)
            if size > limit:
                raise CheckpointError(
                    f"{shown(path)} has {size:,} bytes; at most {limit:,} are read: is it the "
                    "right file?"
                )


def check_regular(path: Path) -> int:
    """Return the size in bytes of a regular file or a link to one; CheckpointError for others."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "its name cannot be"
        raise CheckpointError(
            f"{shown(path)} cannot be read: {why}; copy the model again"
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError(f"{shown(path)} is no regular file; copy the model again")
    return found.st_size


def read_json(path: Path) -> object:
    """Parse a JSON file; CheckpointError where it is none, or too large or deep to be ours."""
    limit = LIMITS.get(path.name, MIB)
    check_regular(path)
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
        if len(raw) > limit:
            raise _unreadable(path, f"it is larger than {limit:,} bytes")
        return parse_json(raw)
    except OSError as error:
        raise _unreadable(path, error.strerror or "unreadable") from None
    except RecordError as error:
        raise _unreadable(path, shorten(str(error), 100)) from None


def read_object(path: Path) -> dict[str, object]:
    """Parse a JSON file that holds an object; CheckpointError where it holds anything else."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise _unreadable(path, f"it holds a {type(data).__name__}, not an object")
    return data


def shown(path: Path | str) -> str:
    """Return a path as messages show it, shortened where it is long."""
    return shorten(str(path), _NAME)


def _unreadable(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{shown(path)} cannot be read: {why}; copy the model again")
