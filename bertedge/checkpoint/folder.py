"""What a checkpoint's directory is: a model that can be read, or what must be done first."""

from pathlib import Path

from bertedge.checkpoint.files import INDEX, WEIGHTS, check_files, shown
from bertedge.checkpoint.hub import locate
from bertedge.errors import CheckpointError

_OTHERS = (
    (
        ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pth"),
        "as a pickle ({}), which can run any code when loaded; save it as safetensors: "
        "model.save_pretrained(directory)",
    ),
    (
        ("tf_model.h5", "flax_model.msgpack", "*.ckpt.index", "saved_model.pb"),
        "for TensorFlow or Flax ({}); convert them: AutoModel.from_pretrained(directory, "
        "from_tf=True or from_flax=True), then save_pretrained(directory)",
    ),
    (("*.gguf",), "as GGUF ({}); give the checkpoint that it was made from"),
    (
        ("*.onnx", "onnx/*.onnx"),
        "as an ONNX graph ({}); give the checkpoint that it was exported from",
    ),
)
"""Weights that are not read, and the way to some that are."""
_ADAPTER = "adapter_config.json"


def fetch(name: str) -> Path:
    """Return the directory of a checkpoint, downloading it where `name` is a model of the hub.

    Its config and safetensors weights are there, and every file of it that is read is a plain
    one; CheckpointError says what is missing.
    """
    folder = locate(name)
    told = shown(name)
    if not folder.is_dir():
        raise CheckpointError(f"{told} is a file; give the checkpoint's directory")
    if (folder / "bertedge.json").exists():
        raise CheckpointError(f"{told} is a bundle; give the checkpoint that it was made from")
    if (folder / _ADAPTER).exists():
        raise CheckpointError(
            f"{told} is an adapter (LoRA), not a whole model; merge it first with peft: "
            "AutoPeftModelForSequenceClassification.from_pretrained(directory)"
            ".merge_and_unload().save_pretrained(merged)"
        )
    weights = any((folder / each).exists() for each in (WEIGHTS, INDEX))
    if not weights:
        _refuse_others(folder, told)
    if not (folder / "config.json").exists():
        raise CheckpointError(f"{told} is no checkpoint: it has no config.json{_inside(folder)}")
    if not weights:
        raise CheckpointError(f"{told} has no weights: {WEIGHTS} is missing")
    check_files(folder)
    return folder


def _refuse_others(folder: Path, told: str) -> None:
    for patterns, how in _OTHERS:
        found = next((path for each in patterns for path in sorted(folder.glob(each))), None)
        if found is not None:
            raise CheckpointError(f"{told} holds its weights {how.format(shown(found.name))}")


def _inside(folder: Path) -> str:
    """Name a checkpoint in the directory, where someone gave the directory of several."""
    found = next((path.parent for path in sorted(folder.glob("*/config.json"))), None)
    return f"; did you mean {shown(found)}?" if found else ""
