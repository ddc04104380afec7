"""Fusion by Optimum's optimizer, proven by counting, and shape inference behind it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

from bertedge.bundle import GraphPass
from bertedge.errors import VerificationError
from bertedge.export.graph.values import count_operators, to_proto
from bertedge.export.third_party import libraries, stage
from bertedge.runtime.providers import CPU, CUDA, Device

if TYPE_CHECKING:
    from transformers import PretrainedConfig

CPU_DISABLED_OPTIMIZERS = ("SkipLayerNormFusion",)
"""What onnxruntime's CPU provider must not fuse at load: SkipLayerNormalization takes there
several times what Add and LayerNormalization take together."""

ATTENTIONS = ("Attention", "MultiHeadAttention")
_FUSED = {
    "attention-fusion": ATTENTIONS,
    "gelu-fusion": ("BiasGelu", "Gelu", "FastGelu"),
}
_LAYER_NORMS = {
    CPU: {"layer-normalization": ("LayerNormalization",)},
    CUDA: {"skip-layer-norm-fusion": ("SkipLayerNormalization",)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph in memory, and what was done to it so far."""

    model: ir.Model
    passes: tuple[GraphPass, ...]


def fuse(path: Path, config: "PretrainedConfig", folder: Path, device: Device = CPU) -> Graph:
    """Fuse the exported graph at `path` for a device; VerificationError if it failed.

    It failed where the number of Attention nodes is not the number of layers: the patterns that
    onnxruntime looks for change with the releases of transformers and torch. Embeddings stay as
    they are: the kernel that is fused with their layer norm does not add in fp32 everywhere.
    """
    from optimum.onnxruntime import ORTOptimizer
    from optimum.onnxruntime.configuration import OptimizationConfig

    settings = OptimizationConfig(
        optimization_level=1,
        enable_transformers_specific_optimizations=True,
        disable_embed_layer_norm_fusion=True,
        disable_skip_layer_norm_fusion=device is CPU,
        disable_bias_skip_layer_norm_fusion=device is CPU,
    )
    with stage(f"the fusion of the graph for {device.name}", folder.parent):
        ORTOptimizer([path], config).optimize(settings, save_dir=folder, file_suffix="")
        model = ir.load(folder / path.name)
    return count_fused(model, config, device)


def count_fused(model: ir.Model, config: "PretrainedConfig", device: Device) -> Graph:
    """Return a fused graph with what is fused in it; VerificationError unless each attention is."""
    counts = count_operators(model)
    check_attention(sum(counts[kind] for kind in ATTENTIONS), config)
    passes = tuple(
        GraphPass(name=name, nodes=sum(counts[kind] for kind in kinds))
        for name, kinds in (_FUSED | _LAYER_NORMS[device]).items()
    )
    return Graph(model=model, passes=passes)


def infer_shapes(model: ir.Model, folder: Path) -> ir.Model:
    """Infer the type and shape of every value, through onnxruntime's own operators too.

    The quantizer needs them; plain ONNX inference stops at the first fused node.
    """
    proto = to_proto(model, shapes=False)  # those of before a pass are out of date
    with stage("the shape inference of the graph", folder):
        return ir.from_proto(SymbolicShapeInference.infer_shapes(proto, auto_merge=True))


def count_attentions(config: "PretrainedConfig") -> int:
    """Return how many attentions run, each time that a shared layer does counted."""
    return int(config.num_hidden_layers) * int(getattr(config, "inner_group_num", 1))


def check_attention(found: int, config: "PretrainedConfig") -> None:
    """Raise VerificationError unless every layer's attention became one node."""
    layers = count_attentions(config)
    if found != layers:
        raise VerificationError(
            f"fusion made {found} Attention nodes of the {layers} layers of this "
            f"{config.model_type}: its attention has a form that is not known here, or the "
            f"libraries do not fit together (met {libraries()}); "
            "install the versions in constraints.txt"
        )
