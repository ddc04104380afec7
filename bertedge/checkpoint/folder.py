"""What lies in a checkpoint's directory: config, tokenizer and weights, found and read."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import transformers
from safetensors import SafetensorError, safe_open

from bertedge.bundle import Source, hash_file
from bertedge.errors import CheckpointError, first_line
from bertedge.staging import way_back

ARCHITECTURES = ("bert", "roberta", "distilbert", "electra")
"""`model_type` of the checkpoints that are supported; MiniLM is a bert."""
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pth")


def fetch(name: str) -> Path:
    """Return the directory of a checkpoint, downloading it where `name` is a hub id.

    Its config and safetensors weights are there; CheckpointError says what is missing.
    """
    folder = Path(name)
    if not folder.exists():
        if hint := way_back(folder):
            raise CheckpointError(f"{name} does not exist{hint}")
        folder = _download(name)
    if not folder.is_dir():
        raise CheckpointError(f"{name} is a file; give the checkpoint's directory")
    if (folder / "bertedge.json").exists():
        raise CheckpointError(f"{name} is a bundle; give the checkpoint that it was made from")
    if not (folder / "config.json").exists():
        raise CheckpointError(f"{name} is no checkpoint: it has no config.json")
    if not any((folder / weights).exists() for weights in _WEIGHTS):
        pickled = [pickle for pickle in _PICKLES if (folder / pickle).exists()]
        if pickled:
            raise CheckpointError(
                f"{name} holds its weights as a pickle ({pickled[0]}), which can run any code "
                "when loaded; save it as safetensors: model.save_pretrained(directory)"
            )
        raise CheckpointError(f"{name} has no weights: model.safetensors is missing")
    return folder


def read_config(folder: Path) -> transformers.PretrainedConfig:
    """Read `config.json`; CheckpointError where it is damaged or of another architecture."""
    try:
        data = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = data.get("model_type") if isinstance(data, dict) else None
        if kind not in ARCHITECTURES:
            raise CheckpointError(
                f"{folder} has the architecture {kind!r}; supported are {', '.join(ARCHITECTURES)}"
            )
        return transformers.AutoConfig.from_pretrained(folder)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise CheckpointError(
            f"{folder}/config.json cannot be read: {first_line(error)}"
        ) from error


def load_tokenizer(folder: Path, *, words: bool = False) -> transformers.PreTrainedTokenizerFast:
    """Load the checkpoint's fast tokenizer; `words` prepares byte-level ones for split words."""
    try:
        if words:
            kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
            if kind == "roberta":
                return transformers.AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # tokenizers raises bare Exception for a damaged file
        raise CheckpointError(
            f"{folder} has no tokenizer that can be loaded: {first_line(error)}"
        ) from error
    if not tokenizer.is_fast or tokenizer.pad_token_id is None:
        raise CheckpointError(f"{folder} needs a fast tokenizer (tokenizer.json) with a pad token")
    return tokenizer


def longest_input(
    config: transformers.PretrainedConfig, tokenizer: transformers.PreTrainedTokenizerFast
) -> int:
    """Count the tokens that the architecture has positions for."""
    positions = int(config.max_position_embeddings)
    if config.model_type == "roberta":  # its positions start after the padding index
        positions -= int(config.pad_token_id) + 1
    return min(positions, int(tokenizer.model_max_length))


def read_source(folder: Path, config: transformers.PretrainedConfig, name: str) -> Source:
    """Describe the model: its sizes and the hash of its weights; CheckpointError if damaged."""
    files = sorted(folder.glob("model*.safetensors"))
    try:
        parameters = sum(_count_parameters(path) for path in files)
    except SafetensorError as error:
        raise CheckpointError(f"{files[0]} is damaged: {first_line(error)}") from error
    hashes = [hash_file(path) for path in files]
    return Source(
        name=plain_name(name),
        architecture=config.model_type,
        layers=int(config.num_hidden_layers),
        hidden_size=int(config.hidden_size),
        heads=int(config.num_attention_heads),
        vocabulary=int(config.vocab_size),
        parameters=parameters,
        sha256=hashes[0]
        if len(hashes) == 1
        else hashlib.sha256("".join(hashes).encode()).hexdigest(),
    )


def plain_name(name: str) -> str:
    """Shorten the path of a directory to its own name; a hub id stays as it is."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def _download(name: str) -> Path:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise CheckpointError(f"{name} does not exist; give a checkpoint's directory or a hub id")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"])
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{name} is no directory here, and the model hub did not give it: {first_line(error)}"
        ) from error


def _count_parameters(path: Path) -> int:
    with safe_open(path, "numpy") as tensors:
        return sum(int(np.prod(tensors.get_slice(key).get_shape())) for key in tensors.keys())  # noqa: SIM118
