"""The mean of a text's tokens inside the graph, where nothing is padded."""

import onnx
from onnx import helper, numpy_helper

AXES_AS_INPUT = 18
"""The opset from which ReduceMean reads its axes as a value."""


def pool_plainly(model: onnx.ModelProto) -> int:
    """Take the plain mean where a graph divides a masked sum by the mask's; count the means.

    The nodes that are then unread stay; exact for batches without padding alone.
    """
    graph = model.graph
    made = {name: node for node in graph.node for name in node.output}
    count = 0
    for node in graph.node:
        hidden = _masked_mean(node, made)
        if hidden is not None:
            total = made[node.input[0]]
            node.CopyFrom(_mean(model, hidden, total, node))
            count += 1
    return count


def _masked_mean(node: onnx.NodeProto, made: dict[str, onnx.NodeProto]) -> str | None:
    """Find what `node` is the mean of: x in sum(x * weights) / sum(weights); else None."""
    if node.op_type != "Div":
        return None
    sums = [made.get(name) for name in node.input]
    total, weights = (each if each and each.op_type == "ReduceSum" else None for each in sums)
    if total is None or weights is None or total.input[1] != weights.input[1]:
        return None
    product = made.get(total.input[0])
    if product is None or product.op_type != "Mul" or weights.input[0] not in product.input:
        return None
    return next((str(name) for name in product.input if name != weights.input[0]), None)


def _mean(
    model: onnx.ModelProto, hidden: str, total: onnx.NodeProto, node: onnx.NodeProto
) -> onnx.NodeProto:
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    axes = total.input[1]
    if opset >= AXES_AS_INPUT:
        return helper.make_node("ReduceMean", [hidden, axes], node.output, node.name, keepdims=0)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    numbers = numpy_helper.to_array(constants[axes]).tolist()
    return helper.make_node(
        "ReduceMean", [hidden], node.output, node.name, axes=numbers, keepdims=0
    )
