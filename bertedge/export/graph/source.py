"""Where the fused fp32 graph of a checkpoint comes from: Optimum's exporter, or our own builder."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bertedge.bundle import Source
from bertedge.checkpoint import Checkpoint
from bertedge.errors import CheckpointError, MissingExtraError
from bertedge.export.config import Exporter
from bertedge.export.graph.builder import ARCHITECTURES, build
from bertedge.export.graph.fusion import Graph, count_fused, fuse
from bertedge.libraries import has_optimum, has_torch
from bertedge.runtime.providers import Device

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

LARGEST_FILE = 2**31
"""Bytes that protobuf, and so one ONNX file, can hold."""
OPTIMUM_FUSES = ("bert", "roberta", "distilbert", "electra")
"""The architectures whose graphs of Optimum are known to be fused whole."""
_TRACED_WITH_TYPES = ("bert", "electra", "albert", "deberta-v2")

GraphSource = Callable[[Device], Graph]
"""What makes the graph that is fused for a device."""


def check_size(source: Source) -> None:
    """Raise CheckpointError where the fp32 weights do not fit one ONNX file."""
    size = source.parameters * 4
    if size >= LARGEST_FILE:
        raise CheckpointError(
            f"{source.name} has {source.parameters:,} parameters, {size / 1e9:.1f} GB in fp32; "
            f"one ONNX file holds {LARGEST_FILE / 1e9:.1f} GB: choose a smaller model"
        )


def choose_exporter(
    asked: Exporter | None, architecture: str, *, token_types: object = None
) -> Exporter:
    """Return what makes the graph: `asked`, or else Optimum where it is there and can.

    It cannot where a model that reads `token_types` has one of them: it traces with two.
    MissingExtraError where Optimum is asked for, or alone could do it, and is not installed.
    """
    there = has_torch() and has_optimum()
    if token_types == 1 and architecture in _TRACED_WITH_TYPES:
        if asked is Exporter.OPTIMUM:
            raise CheckpointError(
                f"Optimum exports no {architecture} of one token type (type_vocab_size in "
                "config.json); leave --exporter optimum out"
            )
        return Exporter.DIRECT
    if asked is Exporter.DIRECT:
        return asked
    if (
        asked is None
        and architecture in ARCHITECTURES
        and not (there and architecture in OPTIMUM_FUSES)
    ):
        return Exporter.DIRECT
    if not there:
        raise MissingExtraError("optimum", "optimum" if has_torch() else "torch")
    return Exporter.OPTIMUM


def from_optimum(
    checkpoint: Checkpoint, model: "PreTrainedModel", folder: Path, opset: int
) -> GraphSource:
    """Export `model` to `folder`, and return what fuses its graph for a device."""
    from bertedge.export.graph.torch_export import export_graph

    architecture = model.config
    path = export_graph(model, folder / "exported", task=checkpoint.model.task, opset=opset)
    return lambda device: fuse(path, architecture, folder / f"fused-{device.name}", device)


def from_weights(
    checkpoint: Checkpoint,
    architecture: "PretrainedConfig",
    opset: int,
    words: NDArray[np.float32] | None = None,
) -> GraphSource:
    """Return what builds the checkpoint's graph for a device; `words` as for `build`."""

    def make(device: Device) -> Graph:
        model = build(checkpoint.folder, checkpoint.model, opset=opset, device=device, words=words)
        return count_fused(model, architecture, device)

    return make
