"""The fp32 graph of a checkpoint, written node by node: fused by construction, nothing is traced.

From `config.json` and the safetensors alone, by numpy and onnx-ir. An architecture is a row of
`architectures.ARCHITECTURES`.
"""

from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bertedge.checkpoint.files import read_object, shown
from bertedge.checkpoint.layers import read_layers
from bertedge.checkpoint.tensors import read_tensors
from bertedge.errors import CheckpointError, shorten
from bertedge.export.graph.builder.architecture import Config
from bertedge.export.graph.builder.architectures import ARCHITECTURES
from bertedge.export.graph.builder.encoder import add_encoder, add_inputs
from bertedge.export.graph.builder.heads import Below, add_head
from bertedge.export.graph.builder.weights import Weights
from bertedge.export.graph.builder.writer import Writer
from bertedge.runtime.providers import CPU, Device
from bertedge.spec import ModelSpec

__all__ = ["ARCHITECTURES", "build"]


def build(
    folder: Path,
    spec: ModelSpec,
    *,
    opset: int,
    device: Device = CPU,
    words: NDArray[np.float32] | None = None,
) -> ir.Model:
    """Build the graph of the checkpoint in `folder` for a device.

    `words` are the embeddings of a vocabulary that was trimmed. CheckpointError for an
    architecture that is not known, and for weights that are not those of the config.
    """
    values = read_object(folder / "config.json")
    kind = values.get("model_type")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise CheckpointError(
            f"{shown(folder)} has the architecture {shorten(repr(kind), 40)}; graphs are built for "
            f"{', '.join(ARCHITECTURES)}"
        )
    config = Config(values, ARCHITECTURES[kind])
    prefix = config.architecture.prefix
    weights = Weights(folder, read_tensors(folder), prefix)
    if words is not None:
        weights.replace(f"{prefix}.{config.architecture.words}.weight", words)
    writer = Writer(weights, opset)
    inputs = add_inputs(writer, config)
    hidden = add_encoder(writer, config, inputs, device)
    return add_head(writer, config, Below(inputs, hidden), spec, read_layers(folder, spec))
