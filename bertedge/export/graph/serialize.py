"""The graph as it is shipped: optimized once and for all, for padded batches and for others."""

import collections
import os
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
import onnxruntime

from bertedge.bundle import Calibration, File, GraphPass, describe_file
from bertedge.errors import VerificationError
from bertedge.export.graph.fusion import CPU_DISABLED_OPTIMIZERS
from bertedge.export.graph.passes import (
    MASK_PLACE,
    add_bias_in_products,
    drop_mask,
    pool_plainly,
)
from bertedge.export.graph.values import WEIGHTS_FROM, count_operators, save
from bertedge.export.third_party import libraries, stage
from bertedge.runtime.engine import PaddingAwareEngine
from bertedge.runtime.providers import CPU
from bertedge.runtime.session import Session

KEPT = (*MASK_PLACE, "LayerNormalization", "SkipLayerNormalization", "EmbedLayerNormalization")
"""Operators that onnxruntime's optimization must leave as they are."""
PRODUCTS = ("MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat")
"""An int8 product as the quantizer leaves it, and as onnxruntime fuses it with its scales."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedGraph:
    """A graph on disk, not yet optimized and proven; its file's name is the variant's."""

    path: Path
    precision: str
    passes: tuple[GraphPass, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFiles:
    """A variant's files as a bundle holds them."""

    candidate: SavedGraph
    folder: Path
    passes: tuple[GraphPass, ...]
    model: File
    unpadded: File | None
    weights: File | None
    """None where all constants are small."""
    calibration: Calibration | None = None
    """None where no texts were needed to make it."""

    @property
    def name(self) -> str:
        """The variant's name."""
        return self.candidate.path.stem

    def open(self) -> PaddingAwareEngine:
        """Open the graphs as the predictor will."""
        unpadded = self.unpadded
        if unpadded is None:
            return PaddingAwareEngine(lambda: self._session(self.model))
        return PaddingAwareEngine(
            lambda: self._session(self.model), lambda: self._session(unpadded)
        )

    def move(self, folder: Path) -> None:
        """Move the files to another folder."""
        for file in filter(None, (self.model, self.unpadded, self.weights)):
            os.replace(self.folder / file.file, folder / file.file)

    def _session(self, file: File) -> Session:
        return Session.open(
            self.folder / file.file,
            disabled_optimizers=CPU_DISABLED_OPTIMIZERS,
            optimized=True,
        )


def finish(candidate: SavedGraph, folder: Path) -> GraphFiles:
    """Optimize a graph for the CPU provider and write what is shipped of it to `folder`.

    The weights lie in a file of their own, which onnxruntime maps instead of reading it, and
    which the graphs for padded and for unpadded batches share.
    """
    folder.mkdir(exist_ok=True)
    name = candidate.path.stem
    weights = folder / f"{name}.weights"
    before, after = ir.load(candidate.path), optimize(candidate.path, weights)
    check_kept(before, after)
    name_nodes(after)
    gone = len(before.graph) - len(after.graph)
    passes = [GraphPass(name="optimized-ahead", nodes=gone)]
    if candidate.precision == "int8":
        passes.append(GraphPass(name="int8-products-fused", nodes=count_products(after)))
        passes.append(GraphPass(name="bias-in-product", nodes=add_bias_in_products(after)))
    path = folder / f"{name}.onnx"
    save(after, path)
    pool_plainly(after)
    dropped = drop_mask(after)
    if dropped:
        save(after, folder / f"{name}-unpadded.onnx")
        passes.append(GraphPass(name="no-mask-without-padding", nodes=dropped))
    return GraphFiles(
        candidate=candidate,
        folder=folder,
        passes=(*candidate.passes, *passes),
        model=describe_file(path),
        unpadded=describe_file(folder / f"{name}-unpadded.onnx") if dropped else None,
        weights=describe_file(weights) if weights.exists() else None,
    )


def optimize(path: Path, weights: Path) -> ir.Model:
    """Run onnxruntime's optimizations that suit every processor, and return the graph.

    Its large constants are written to the file `weights`, and left there.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # The level above lays data out for the processor that it runs on.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    optimized = weights.with_name("optimized.onnx")
    options.optimized_model_filepath = str(optimized)
    prefix = "session.optimized_model_external_initializers_"
    options.add_session_config_entry(f"{prefix}file_name", weights.name)
    options.add_session_config_entry(f"{prefix}min_size_in_bytes", str(WEIGHTS_FROM))
    options.add_session_config_entry("session.disable_prepacking", "1")  # nothing is run
    with stage("the optimization of the graph", weights.parent):
        onnxruntime.InferenceSession(
            str(path),
            options,
            providers=[CPU.provider],
            disabled_optimizers=list(CPU_DISABLED_OPTIMIZERS),
        )
        model = ir.load(optimized)
    optimized.unlink()
    return model


def check_kept(before: ir.Model, after: ir.Model) -> None:
    """Raise VerificationError where the optimization undid a fusion, or left a product unfused."""
    counts = [count_operators(model) for model in (before, after)]
    wrong = [
        f"{counts[1][kind]} {kind} nodes of {counts[0][kind]}"
        for kind in KEPT
        if counts[0][kind] != counts[1][kind]
    ]
    had, has = (sum(each[kind] for kind in PRODUCTS) for each in counts)
    if had != has or counts[1]["MatMulInteger"]:
        wrong.append(f"{has - counts[1]['MatMulInteger']} fused int8 products of {had}")
    if wrong:
        raise VerificationError(
            f"onnxruntime's optimization made {' and '.join(wrong)} (met {libraries()}); "
            "install the versions in constraints.txt"
        )


def count_products(model: ir.Model) -> int:
    """Count the int8 products that are one node with their scales."""
    counts = count_operators(model)
    return sum(counts[kind] for kind in PRODUCTS[1:])


def name_nodes(model: ir.Model) -> None:
    """Rename nodes so that each has a name of its own, for profiles and errors."""
    names = collections.Counter(node.name for node in model.graph)
    for node in model.graph:
        if not node.name or names[node.name] > 1:
            node.name = f"{node.op_type}:{next(value.name for value in node.outputs if value.name)}"
