"""int8: matrix products by onnxruntime's dynamic quantizer, embedding tables row by row.

What other recipes change before (outliers) and after it (static scales) is in modules of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.quant_utils import QuantizationMode

from bertedge.bundle import GraphPass
from bertedge.errors import VerificationError
from bertedge.export.graph.fusion import Graph, count_attentions
from bertedge.export.graph.values import add_constant, array_of, count_operators, is_constant
from bertedge.export.third_party import libraries, stage
from bertedge.libraries import has_optimum

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_OPERATORS = ("Attention", "MatMul")
"""Not Gather: one scale a table is too few."""
MIN_ROWS = 16
"""Smaller tables (token types) weigh nothing and stay in float."""
INT8_MAX = 127


def quantize_dynamic(
    path: Path,
    config: "PretrainedConfig",
    folder: Path,
    *,
    float_nodes: Sequence[str] = (),
    reduced_range: bool = False,
) -> Graph:
    """Quantize the fused graph at `path`: weights per channel, activations when it runs.

    The products `float_nodes` stay as they are; `reduced_range` gives weights of 7 bits.
    """
    activations = [node.name for node in ir.load(path).graph if _multiplies_activations(node)]
    # A Gemm of the heads is a MatMul of another name by the time the quantizer looks.
    excluded = [each for name in float_nodes for each in (name, f"{name}_MatMul")] + activations
    with stage("the quantization of the graph", folder.parent):
        if has_optimum():
            _quantize_by_optimum(path, config, folder, excluded, reduced_range)
        else:
            quantize_by_onnxruntime(path, folder, excluded, reduced_range)
        model = ir.load(folder / path.name)
    counts = count_operators(model)
    layers = count_attentions(config)
    layers -= counts["MultiHeadAttention"]  # whose products are nodes of their own
    if counts["QAttention"] + counts["Attention"] != layers or (
        counts["Attention"] > len(float_nodes)
    ):
        raise VerificationError(
            f"quantization made {counts['QAttention']} of {layers} Attention nodes int8 (met "
            f"{libraries()}); install the versions in constraints.txt"
        )
    products = counts["QAttention"] + counts["MatMulInteger"]
    tables = quantize_embeddings(model)
    return Graph(
        model=model,
        passes=(
            GraphPass(name="int8-matrix-products", nodes=products),
            GraphPass(name="int8-embedding-rows", nodes=tables),
        ),
    )


def _quantize_by_optimum(
    path: Path,
    config: "PretrainedConfig",
    folder: Path,
    excluded: Sequence[str],
    reduced_range: bool,
) -> None:
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    settings = AutoQuantizationConfig.avx512_vnni(
        is_static=False,
        per_channel=True,
        nodes_to_exclude=list(excluded),
        operators_to_quantize=list(_OPERATORS),
    )
    settings.reduce_range = reduced_range
    ORTQuantizer(path, config).quantize(settings, save_dir=folder, file_suffix="")


def quantize_by_onnxruntime(
    path: Path, folder: Path, excluded: Sequence[str], reduced_range: bool
) -> None:
    """Quantize the graph at `path` into `folder` by what Optimum calls, as it calls it."""
    folder.mkdir(exist_ok=True)
    quantizer = ONNXQuantizer(
        model=onnx.load(path),
        per_channel=True,
        reduce_range=reduced_range,
        mode=QuantizationMode.IntegerOps,
        static=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=None,
        nodes_to_quantize=[],
        nodes_to_exclude=list(excluded),
        op_types_to_quantize=list(_OPERATORS),
        extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
    )
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(str(folder / path.name))


def _multiplies_activations(node: ir.Node) -> bool:
    """Return whether a node is a product without weights, which stays in float."""
    return node.op_type == "MatMul" and not any(map(is_constant, node.inputs))


def quantize_embeddings(model: ir.Model) -> int:
    """Make each embedding table int8 with one scale a row; count the tables.

    A lookup takes the row and its scale and multiplies them. For 4 bytes a row more than one
    scale a table costs, the error falls to about a third (on MiniLM, SST-2).
    """
    graph = model.graph
    tables = [value for value in graph.initializers.values() if _is_embedding(value)]
    for table in tables:
        rows, scales = quantize_rows(array_of(table))
        parts = (
            add_constant(graph, f"{table.name}_rows", rows),
            add_constant(graph, f"{table.name}_scales", scales),
        )
        for lookup in table.consumers():
            _replace_lookup(graph, lookup, *parts)
        del graph.initializers[table.name]
    return len(tables)


def quantize_rows(table: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round `(rows, hidden)` to int8 with symmetric scales `(rows, 1)`."""
    scales = np.abs(table).max(axis=1, keepdims=True) / INT8_MAX
    scales[scales == 0] = 1.0  # a padding row of zeros
    return np.rint(table / scales).astype(np.int8), scales.astype(np.float32)


def _is_embedding(value: ir.Value) -> bool:
    """Return whether a constant is a float table whose rows are looked up, and nothing else."""
    readers = value.consumers()
    if value.dtype != ir.DataType.FLOAT or len(value.shape) != 2 or value.shape[0] < MIN_ROWS:
        return False
    return bool(readers) and all(
        node.op_type == "Gather"
        and node.inputs[0] is value
        and node.attributes.get_int("axis", 0) == 0
        for node in readers
    )


def _replace_lookup(graph: ir.Graph, lookup: ir.Node, rows: ir.Value, scales: ir.Value) -> None:
    """Look rows up in int8, and scale them."""
    ids = lookup.inputs[1]
    row, scale = ir.node("Gather", [rows, ids]), ir.node("Gather", [scales, ids])
    cast = ir.node("Cast", row.outputs, {"to": ir.DataType.FLOAT.value})
    scaled = ir.node("Mul", [cast.outputs[0], scale.outputs[0]])
    ir.convenience.replace_nodes_and_values(
        graph, lookup, [lookup], [row, cast, scale, scaled], lookup.outputs, scaled.outputs
    )
