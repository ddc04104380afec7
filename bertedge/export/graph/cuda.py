"""The variant `cuda-fp16`: fused for CUDA, as much of it in fp16 as parity allows, proven."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from optimum.onnxruntime import ORTOptimizer
from optimum.onnxruntime.configuration import OptimizationConfig
from transformers import PretrainedConfig

from bertedge.bundle import GraphPass, Variant, describe_file
from bertedge.errors import DeviceError, VerificationError
from bertedge.export import verify
from bertedge.export.accuracy import check_drop
from bertedge.export.config import ExportConfig
from bertedge.export.graph.embeddings import fuse_embeddings, take_int32
from bertedge.export.graph.fp16 import count_half, rounded_twin, to_half
from bertedge.export.graph.fusion import Graph, check_attention, infer_shapes
from bertedge.export.graph.passes import fold_token_types, narrow_last_layer
from bertedge.export.graph.values import count_operators, save, to_proto
from bertedge.export.reference import Reference, measure_accuracy
from bertedge.export.third_party import libraries, stage
from bertedge.export.verify import ReferenceLogits
from bertedge.progress import Progress
from bertedge.runtime.cuda import open_cuda
from bertedge.runtime.engine import Engine
from bertedge.runtime.providers import CPU, CUDA, Device
from bertedge.runtime.session import Session, open_native

NAME = "cuda-fp16"
FLOATS: tuple[tuple[str, ...], ...] = (
    (),
    ("LayerNormalization", "SkipLayerNormalization"),
    ("LayerNormalization", "SkipLayerNormalization", "Attention"),
)
"""Operators to keep in fp32, tried in this order: the first set that keeps parity is taken."""
HOST_OPERATORS = ("Shape", "Size", "Range", "ConstantOfShape", "Expand", "If", "Loop", "Scan")
"""What onnxruntime runs on the CPU, or feeds from there: with such a node it captures nothing."""

_FUSED = {
    "attention-fusion": ("Attention",),
    "gelu-fusion": ("BiasGelu", "Gelu", "FastGelu"),
    "skip-layer-norm-fusion": ("SkipLayerNormalization",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fp16Graph:
    """A graph in fp16, and what shows its answers here."""

    path: Path
    passes: tuple[GraphPass, ...]
    engine: Engine
    device: Device
    """What `engine` runs on."""


def make_cuda_variant(
    config: ExportConfig,
    reference: Reference,
    exported: Path,
    architecture: PretrainedConfig,
    progress: Progress,
) -> Variant:
    """Write `cuda-fp16.onnx` beside the folder of the exported graph, and prove it.

    With CUDA there it is measured on CUDA. Elsewhere the file is run on the CPU, which shows that
    the graph is right, and its twin, which rounds as CUDA does, is what is measured.
    """
    began = time.perf_counter()
    work = exported.parent.parent
    graph = fuse_for_cuda(exported, architecture, work / CUDA.name, pair=reference.pair)
    half = keep_parity(graph, reference.parity, work)
    listed = ", ".join(f"{each.name} {each.nodes}" for each in half.passes)
    progress.say(f"optimized for CUDA: {listed}  {time.perf_counter() - began:.1f} s")
    bound = verify.fp16_bound()
    parity = verify.check_parity(NAME, reference.parity, half.engine, bound)
    verify.check_parity(NAME, reference.golden, half.engine, bound)
    if half.device is not CUDA:
        verify.check_parity(NAME, reference.golden, Session.open(half.path), bound)
    progress.say(
        f"{NAME}: logits differ by at most {parity.max_difference:.2g} of their spread on "
        f"{parity.texts} texts, on {half.device.provider}"
    )
    accuracy = measure_accuracy(reference, NAME, half.engine, progress)
    if accuracy is not None:
        check_drop(NAME, accuracy, config.max_drop)
    return Variant(
        name=NAME,
        model=describe_file(half.path),
        precision="fp16",
        providers=(CUDA.provider,),
        disabled_optimizers=(),
        passes=half.passes,
        parity=parity,
        accuracy=accuracy,
        golden_tolerance=verify.FP16_GOLDEN_TOLERANCE,
        checked_on=half.device.provider,
    )


def fuse_for_cuda(path: Path, config: PretrainedConfig, folder: Path, *, pair: bool) -> Graph:
    """Fuse the exported graph at `path` for the CUDA provider, in fp32, and run its passes.

    VerificationError where an attention, or the embeddings, did not become one node.
    """
    settings = OptimizationConfig(
        optimization_level=1,
        enable_transformers_specific_optimizations=True,
        disable_embed_layer_norm_fusion=True,
    )
    with stage("the fusion of the graph for CUDA", folder.parent):
        ORTOptimizer([path], config).optimize(settings, save_dir=folder, file_suffix="")
        model = ir.load(folder / path.name)
    counts = count_operators(model)
    check_attention(counts["Attention"], config)
    passes = [
        GraphPass(name=name, nodes=sum(counts[kind] for kind in kinds))
        for name, kinds in _FUSED.items()
    ]
    for name, run in _passes(model, pair=pair):
        passes.append(GraphPass(name=name, nodes=run(model)))
    _check_capturable(model, config)
    done = tuple(each for each in passes if each.nodes)
    return Graph(model=infer_shapes(model, folder), passes=done)


def keep_parity(graph: Graph, probe: ReferenceLogits, work: Path) -> Fp16Graph:
    """Convert as much of the graph to fp16 as parity allows; the last of FLOATS is not checked."""
    path = work / f"{NAME}.onnx"
    for floats in FLOATS:
        model = to_half(graph.model, floats, work)
        save(model, path)
        engine, device = _open(path, model)
        if verify.difference(probe, engine) <= verify.FP16_TOLERANCE:
            break
    kept = sum(node.op_type in floats for node in model.graph)
    passes = [*graph.passes, GraphPass(name="fp16", nodes=count_half(model))]
    if kept:
        passes.append(GraphPass(name=f"fp32 for {', '.join(floats)}", nodes=kept))
    return Fp16Graph(path=path, passes=tuple(passes), engine=engine, device=device)


def _open(path: Path, model: ir.Model) -> tuple[Engine, Device]:
    """Open the graph on CUDA, or its twin on the CPU where CUDA does not load."""
    try:
        return open_cuda(path), CUDA
    except DeviceError:
        twin = to_proto(rounded_twin(model), shapes=False).SerializeToString()
        return Session(open_native(twin, device=CPU), path.name), CPU


def _passes(model: ir.Model, *, pair: bool) -> tuple[tuple[str, Callable[[ir.Model], int]], ...]:
    """Return the passes in order: token types are folded where they are constant."""
    varying = pair and any(value.name == "token_type_ids" for value in model.graph.inputs)
    return (
        ("cls-only-last-layer", narrow_last_layer),
        *(() if varying else (("token-types-folded", fold_token_types),)),
        ("embedding-fusion", fuse_embeddings),
        ("int32-inputs", take_int32),
    )


def _check_capturable(model: ir.Model, config: PretrainedConfig) -> None:
    """Raise VerificationError for a node that would run on the CPU between nodes on CUDA."""
    found = sorted(set(count_operators(model)) & set(HOST_OPERATORS))
    if found:
        raise VerificationError(
            f"the graph of this {config.model_type} still has {', '.join(found)}, so it cannot be "
            f"captured for CUDA: its embeddings have a form that is not known here (met "
            f"{', '.join(libraries())}); leave --gpu out"
        )
