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
    """Return whether Optimum's exporter to ONNX is installed, without importing it."""
    return find_spec("optimum") is not None and find_spec("optimum.onnxruntime") is not None


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each distribution that is installed, in the order of `names`."""
    versions = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
