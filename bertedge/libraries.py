"""The libraries that bertedge stands on, and which versions of them are installed."""

import contextlib
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec

INFERENCE = ("numpy", "tokenizers", "onnxruntime", "onnxruntime-gpu", "torch", "transformers")
"""Distributions that run a model: a bundle, or its checkpoint."""
ALL = (*INFERENCE, "optimum-onnx", "onnx", "datasets", "accelerate", "safetensors")


def has_torch() -> bool:
    """Return whether PyTorch is installed, without importing it."""
    return find_spec("torch") is not None


def has_optimum() -> bool:
    """Return whether Optimum's exporter to ONNX can run, without importing it.

    The newest there is, optimum-onnx 0.1.0, cannot be imported beside transformers 5.
    """
    if find_spec("optimum") is None or find_spec("optimum.onnxruntime") is None:
        return False
    return has_transformers_4()


def has_sentencepiece() -> bool:
    """Return whether tokenizers of SentencePiece can be converted."""
    return len(installed_versions(["sentencepiece", "protobuf"])) == 2


def has_transformers_4() -> bool:
    """Return whether the installed transformers is of before 5.0, without importing it."""
    return installed_versions(["transformers"]).get("transformers", "").startswith("4.")


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each distribution that is installed, in the order of `names`."""
    versions = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
