"""fp16 for a fused graph, and a float twin that shows on any machine what fp16 costs."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST
from onnxruntime.transformers.onnx_model import OnnxModel

from bertedge.export.graph.fusion import infer_shapes
from bertedge.export.third_party import stage


def to_half(model: onnx.ModelProto, floats: tuple[str, ...], folder: Path) -> onnx.ModelProto:
    """Give a copy in fp16, but for the operators in `floats`; what it takes and gives stays."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    _unshare(half.graph)
    with stage("the conversion of the graph to fp16", folder):
        wrapped = OnnxModel(half)
        wrapped.convert_float_to_float16(
            keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *floats]
        )
        return infer_shapes(wrapped.model, folder)


def rounded_twin(half: onnx.ModelProto) -> onnx.ModelProto:
    """Give a float graph that rounds to fp16 wherever `half` stores fp16: weights and results.

    What CUDA's kernels do, up to the order of sums: they multiply fp16 values, add in fp32 and
    round what they store. A value beyond fp16's 65504 becomes infinite here as it does there.
    onnxruntime's CPU provider would not show this: it runs `half` in fp32 and leaves out the
    roundings between two operators that it has no fp16 kernel for.
    """
    types = _types(half)
    twin = onnx.ModelProto()
    twin.CopyFrom(half)
    graph = twin.graph
    del graph.value_info[:]
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            exact = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(exact, tensor.name))
    nodes = []
    for node in graph.node:
        if node.op_type == "Cast" and types.get(node.output[0]) == TensorProto.FLOAT16:
            nodes += _round(node.input[0], node.output[0])
            continue
        results = [name for name in node.output if types.get(name) == TensorProto.FLOAT16]
        for place, name in enumerate(node.output):
            if name in results:
                node.output[place] = f"{name}_exact"
        nodes.append(node)
        for name in results:
            nodes += _round(f"{name}_exact", name)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    return twin


def count_half(half: onnx.ModelProto) -> int:
    """Count the nodes that give fp16."""
    types = _types(half)
    return sum(
        node.op_type != "Cast" and types.get(node.output[0]) == TensorProto.FLOAT16
        for node in half.graph.node
    )


def _unshare(graph: onnx.GraphProto) -> None:
    """Give every node constants of its own: what two share cannot be in two precisions.

    An exporter writes equal constants once, such as the zeros of layer norms not yet trained.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    seen: set[str] = set()
    for number, node in enumerate(graph.node):
        for place, name in enumerate(node.input):
            if name in seen:
                copied = graph.initializer.add()
                copied.CopyFrom(constants[name])
                copied.name = f"{name}_{number}_{place}"
                node.input[place] = copied.name
            elif name in constants:
                seen.add(name)


def _round(name: str, result: str) -> list[onnx.NodeProto]:
    half = f"{result}_half"
    return [
        helper.make_node("Cast", [name], [half], name=half, to=TensorProto.FLOAT16),
        helper.make_node("Cast", [half], [result], name=f"{half}_back", to=TensorProto.FLOAT),
    ]


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """Give the element type of each value, after shape inference."""
    graph = model.graph
    values = (*graph.value_info, *graph.input, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}
