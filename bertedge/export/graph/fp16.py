"""fp16 for a fused graph, and a float twin that shows on any machine what fp16 costs."""

from collections.abc import Container
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST
from onnxruntime.transformers.onnx_model import OnnxModel

from bertedge.export.graph.fusion import infer_shapes
from bertedge.export.graph.values import add_constant, array_of, to_proto
from bertedge.export.third_party import stage

_HALF, _FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT


def to_half(model: ir.Model, floats: tuple[str, ...], folder: Path) -> ir.Model:
    """Return a copy in fp16, but for the operators in `floats`; what it takes and gives stays."""
    half = model.clone()
    blocked = {*DEFAULT_OP_BLOCK_LIST, *floats}
    _unshare(half.graph, blocked)
    with stage("the conversion of the graph to fp16", folder):
        wrapped = OnnxModel(to_proto(half))
        wrapped.convert_float_to_float16(keep_io_types=True, op_block_list=sorted(blocked))
        half = infer_shapes(ir.from_proto(wrapped.model), folder)
    half.graph.sort()  # the conversion puts its casts behind all other nodes
    return half


def rounded_twin(half: ir.Model) -> ir.Model:
    """Return a float graph that rounds to fp16 wherever `half` stores fp16: weights and results.

    What CUDA's kernels do, up to the order of sums: they multiply fp16 values, add in fp32 and
    round what they store. A value beyond fp16's 65504 becomes infinite here as it does there.
    onnxruntime's CPU provider would not show this: it runs `half` in fp32 and leaves out the
    roundings between two operators that it has no fp16 kernel for.
    """
    twin = half.clone()
    for value in twin.graph.initializers.values():
        if value.dtype == _HALF:
            value.const_value = ir.tensor(array_of(value).astype(np.float32), name=value.name)
            value.dtype = _FLOAT
    for node in list(twin.graph):
        for value in node.outputs:
            if value.dtype == _HALF:
                _round(twin.graph, node, value)
    return twin


def count_half(half: ir.Model) -> int:
    """Count the nodes that give fp16."""
    return sum(node.op_type != "Cast" and node.outputs[0].dtype == _HALF for node in half.graph)


def _unshare(graph: ir.Graph, blocked: Container[str]) -> None:
    """Copy constants that nodes of both precisions read: one cannot be in two.

    An exporter writes equal constants once, such as the zeros of layer norms not yet trained.
    """
    for value in list(graph.initializers.values()):
        uses = list(value.uses())
        kept = [use for use in uses if use.node.op_type in blocked]
        if value.const_value.dtype == _FLOAT and 0 < len(kept) < len(uses):
            own = add_constant(graph, f"{value.name}_{_FLOAT.name}", array_of(value))
            for node, place in kept:
                node.replace_input_with(place, own)


def _round(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    """Round the result `value` of `node` to fp16 and back; a Cast to fp16 is replaced."""
    exact = node.inputs[0] if node.op_type == "Cast" else value
    down = ir.node("Cast", [exact], {"to": _HALF.value})
    back = ir.node("Cast", down.outputs, {"to": _FLOAT.value})
    value.replace_all_uses_with(back.outputs[0])
    down.replace_input_with(0, exact)
    graph.insert_after(node, [down, back])
    if exact is not value:
        graph.remove(node, safe=True)
