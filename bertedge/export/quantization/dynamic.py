"""int8: matrix products by Optimum's dynamic quantizer, embedding tables row by row.

What other recipes change before (outliers) and after it (static scales) is in modules of its own.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig
from transformers import PretrainedConfig

from bertedge.bundle import GraphPass
from bertedge.errors import VerificationError
from bertedge.export.graph.fusion import Graph
from bertedge.export.graph.nodes import count_operators, integer
from bertedge.export.third_party import libraries, stage

MIN_ROWS = 16
"""Smaller tables (token types) weigh nothing and stay in float."""
INT8_MAX = 127


def quantize_dynamic(
    path: Path,
    config: PretrainedConfig,
    folder: Path,
    *,
    float_nodes: Sequence[str] = (),
    reduced_range: bool = False,
) -> Graph:
    """Quantize the fused graph at `path`: weights per channel, activations when it runs.

    The products `float_nodes` stay as they are; `reduced_range` gives weights of 7 bits.
    """
    settings = AutoQuantizationConfig.avx512_vnni(
        is_static=False,
        per_channel=True,
        # A Gemm of the heads is a MatMul of another name by the time the quantizer looks.
        nodes_to_exclude=[each for name in float_nodes for each in (name, f"{name}_MatMul")],
        operators_to_quantize=["Attention", "MatMul"],  # not Gather: one scale a table is too few
    )
    settings.reduce_range = reduced_range
    with stage("the quantization of the graph", folder.parent):
        ORTQuantizer(path, config).quantize(settings, save_dir=folder, file_suffix="")
        model = onnx.load(folder / path.name)
    counts = count_operators(model)
    layers = int(config.num_hidden_layers)
    if counts["QAttention"] + counts["Attention"] != layers or (
        counts["Attention"] > len(float_nodes)
    ):
        raise VerificationError(
            f"quantization made {counts['QAttention']} of {layers} Attention nodes int8 (met "
            f"{', '.join(libraries())}); install the versions in constraints.txt"
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


def quantize_embeddings(model: onnx.ModelProto) -> int:
    """Make each embedding table int8 with one scale a row; count the tables.

    A lookup takes the row and its scale and multiplies them. For 4 bytes a row more than one
    scale a table costs, the error falls to about a third (on MiniLM, SST-2).
    """
    graph = model.graph
    tables = {
        tensor.name: tensor
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and len(tensor.dims) == 2
        and tensor.dims[0] >= MIN_ROWS
        and _only_looked_up(graph, tensor.name)
    }
    for name, table in tables.items():
        rows, scales = quantize_rows(numpy_helper.to_array(table))
        graph.initializer.remove(table)
        graph.initializer.append(numpy_helper.from_array(rows, f"{name}_rows"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scales"))
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes += _lookup(node) if node.input and node.input[0] in tables else [node]
    del graph.node[:]
    graph.node.extend(nodes)
    return len(tables)


def quantize_rows(table: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round `(rows, hidden)` to int8 with symmetric scales `(rows, 1)`."""
    scales = np.abs(table).max(axis=1, keepdims=True) / INT8_MAX
    scales[scales == 0] = 1.0  # a padding row of zeros
    return np.rint(table / scales).astype(np.int8), scales.astype(np.float32)


def _only_looked_up(graph: onnx.GraphProto, name: str) -> bool:
    readers = [node for node in graph.node if name in node.input]
    return bool(readers) and all(
        node.op_type == "Gather" and node.input[0] == name and integer(node, "axis", 0) == 0
        for node in readers
    )


def _lookup(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Give the nodes that look the row of `node` up in int8 and scale it."""
    table, ids = node.input
    made = node.output[0]
    return [
        helper.make_node("Gather", [f"{table}_rows", ids], [f"{made}_row"]),
        helper.make_node("Cast", [f"{made}_row"], [f"{made}_float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", [f"{table}_scales", ids], [f"{made}_scale"]),
        helper.make_node("Mul", [f"{made}_float", f"{made}_scale"], [made]),
    ]
