"""The libraries that bertedge stands on, and which versions of them are installed."""

import contextlib
from collections.abc import Iterable
from importlib import metadata

INFERENCE = ("numpy", "tokenizers", "onnxruntime", "onnxruntime-gpu", "torch", "transformers")
"""Distributions that run a model: a bundle, or its checkpoint."""
ALL = (*INFERENCE, "optimum-onnx", "onnx", "datasets", "accelerate", "safetensors")


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each distribution that is installed, in the order of `names`."""
    versions = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
