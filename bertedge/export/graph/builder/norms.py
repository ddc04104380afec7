"""Layer norms, as the config describes them."""

import numpy as np
import onnx_ir as ir

from bertedge.export.graph.builder.architecture import Config
from bertedge.export.graph.builder.writer import Writer


def add_norm(writer: Writer, config: Config, value: ir.Value, name: str, width: int) -> ir.Value:
    """Normalize each position; where the model's norms have no bias, zeros are added."""
    weight = writer.vector(f"{name}.weight", width)
    if config.get("norm_bias") is False:
        bias = writer.constant(f"{name}.bias", np.zeros(width, np.float32))
    else:
        bias = writer.vector(f"{name}.bias", width)
    eps = config.number("layer_norm_eps")
    return writer.add("LayerNormalization", [value, weight, bias], name, axis=-1, epsilon=eps)
