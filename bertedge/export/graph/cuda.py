"""The variant `cuda-fp16`: fused for CUDA, as much of it in fp16 as parity allows, proven."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from bertedge.bundle import GraphPass, Variant, describe_file
from bertedge.errors import DeviceError, VerificationError
from bertedge.export import verify
from bertedge.export.config import ExportConfig
from bertedge.export.graph.embeddings import fuse_embeddings, take_int32
from bertedge.export.graph.fp16 import count_half, rounded_twin, to_half
from bertedge.export.graph.fusion import ATTENTIONS, Graph, infer_shapes
from bertedge.export.graph.passes import run_passes, summarize_passes
from bertedge.export.graph.source import GraphSource
from bertedge.export.graph.values import count_operators, is_constant, save, to_proto
from bertedge.export.reference import Reference, check_accuracy
from bertedge.export.third_party import libraries
from bertedge.export.verify import ReferenceLogits
from bertedge.progress import Progress
from bertedge.runtime.cuda import open_cuda
from bertedge.runtime.engine import Engine
from bertedge.runtime.providers import CPU, CUDA, Device
from bertedge.runtime.session import Session, open_native

if TYPE_CHECKING:
    from transformers import PretrainedConfig

NAME = "cuda-fp16"
FLOATS: tuple[tuple[str, ...], ...] = (
    (),
    ("LayerNormalization", "SkipLayerNormalization"),
    ("LayerNormalization", "SkipLayerNormalization", *ATTENTIONS),
)
"""Operators to keep in fp32, tried in this order: the first set that keeps parity is taken."""
HOST_OPERATORS = ("Shape", "Size", "Range", "ConstantOfShape", "Expand", "If", "Loop", "Scan")
"""What onnxruntime runs on the CPU, or feeds from there: with such a node it captures nothing."""
HOST_INPUTS = frozenset(
    {"Clip", "CumSum", "Pad", "ReduceMax", "ReduceMean", "ReduceSum", "Reshape", "Slice", "Split"}
    | {"Squeeze", "Tile", "TopK", "Unsqueeze"}
)
"""Operators whose kernels for CUDA read all inputs but the first from the CPU's memory."""
PASSES = (("embedding-fusion", fuse_embeddings), ("int32-inputs", take_int32))


def make_cuda_variant(
    config: ExportConfig,
    reference: Reference,
    source: GraphSource,
    work: Path,
    progress: Progress,
) -> Variant:
    """Write `cuda-fp16.onnx` to `work`, and prove it.

    With CUDA there it is measured on CUDA. Elsewhere the file is run on the CPU, which shows that
    the graph is right, and its twin, which rounds as CUDA does, is what is measured.
    """
    began = time.perf_counter()
    path = work / f"{NAME}.onnx"
    graph = fuse_for_cuda(source(CUDA), reference.architecture, work, pair=reference.pair)
    passes, engine, device = keep_parity(graph, reference.parity, path)
    progress.say(f"optimized for CUDA: {summarize_passes(passes, began)}")
    bound = verify.fp16_bound()
    parity = verify.check_parity(NAME, reference.parity, engine, bound)
    verify.check_parity(NAME, reference.golden, engine, bound)
    if device is not CUDA:
        verify.check_parity(NAME, reference.golden, Session.open(path), bound)
    progress.say(
        f"{NAME}: logits differ by at most {parity.max_difference:.2g} of their spread on "
        f"{parity.texts} texts, on {device.provider}"
    )
    return Variant(
        name=NAME,
        model=describe_file(path),
        precision="fp16",
        providers=(CUDA.provider,),
        disabled_optimizers=(),
        passes=passes,
        parity=parity,
        accuracy=check_accuracy(config, reference, NAME, engine, progress),
        golden_tolerance=verify.FP16_GOLDEN_TOLERANCE,
        checked_on=device.provider,
    )


def fuse_for_cuda(graph: Graph, config: "PretrainedConfig", folder: Path, *, pair: bool) -> Graph:
    """Run the passes of a graph that is fused for the CUDA provider, in fp32.

    VerificationError where the embeddings did not become one node.
    """
    model = graph.model
    varying = pair and any(value.name == "token_type_ids" for value in model.graph.inputs)
    passes = graph.passes + run_passes(model, pair=varying, device_passes=PASSES)
    check_capturable(model, config)
    return Graph(model=infer_shapes(model, folder), passes=passes)


def keep_parity(
    graph: Graph, probe: ReferenceLogits, path: Path
) -> tuple[tuple[GraphPass, ...], Engine, Device]:
    """Convert as much of the graph to fp16 as parity allows, and write it to `path`.

    The last of FLOATS is not checked. Returns what was done in all, and what shows the graph's
    answers here, on which device.
    """
    for floats in FLOATS:
        half = to_half(graph.model, floats, path.parent)
        save(half, path)
        engine, device = _open(half, path)
        if verify.difference(probe, engine) <= verify.FP16_TOLERANCE:
            break
    kept = sum(node.op_type in floats for node in half.graph)
    passes = (*graph.passes, GraphPass(name="fp16", nodes=count_half(half)))
    if kept:
        passes += (GraphPass(name=f"fp32 for {', '.join(floats)}", nodes=kept),)
    return passes, engine, device


def _open(model: ir.Model, path: Path) -> tuple[Engine, Device]:
    """Open the graph at `path` on CUDA, or the twin of `model` on the CPU where CUDA is not."""
    try:
        return open_cuda(path), CUDA
    except DeviceError:
        twin = to_proto(rounded_twin(model), shapes=False).SerializeToString()
        return Session(open_native(twin, device=CPU), path.name), CPU


def check_capturable(model: ir.Model, config: "PretrainedConfig") -> None:
    """Raise VerificationError for a node that would run on the CPU between nodes on CUDA."""
    found = sorted(set(count_operators(model)) & set(HOST_OPERATORS))
    found += sorted(
        {
            f"a computed input of {node.op_type}"
            for node in model.graph
            if node.op_type in HOST_INPUTS
            and not all(value is None or is_constant(value) for value in node.inputs[1:])
        }
    )
    if found:
        raise VerificationError(
            f"the graph of this {config.model_type} still has {', '.join(found)}, so it cannot be "
            "captured for CUDA: that form of embeddings or attention is not known here (met "
            f"{libraries()}); leave --gpu out"
        )
