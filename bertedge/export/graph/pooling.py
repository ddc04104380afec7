"""The mean of a text's tokens inside the graph, where nothing is padded."""

import onnx_ir as ir

from bertedge.export.graph.values import array_of

AXES_AS_INPUT = 18
"""The opset from which ReduceMean reads its axes as a value."""


def pool_plainly(model: ir.Model) -> int:
    """Take the plain mean where a graph divides a masked sum by the mask's; count the means.

    The nodes that are then unread stay; exact for batches without padding alone.
    """
    count = 0
    for node in model.graph:
        hidden = _masked_mean(node)
        if hidden is not None:
            axes = node.inputs[0].producer().inputs[1]
            node.op_type = "ReduceMean"
            node.attributes["keepdims"] = ir.AttrInt64("keepdims", 0)
            node.replace_input_with(0, hidden)
            if model.opset_imports[""] >= AXES_AS_INPUT:
                node.replace_input_with(1, axes)
            else:
                node.resize_inputs(1)
                node.attributes["axes"] = ir.AttrInt64s("axes", array_of(axes).tolist())
            count += 1
    return count


def _masked_mean(node: ir.Node) -> ir.Value | None:
    """Find what `node` is the mean of: x in sum(x * weights) / sum(weights); else None."""
    if node.op_type != "Div":
        return None
    total, weights = (value.producer() for value in node.inputs)
    if not all(each is not None and each.op_type == "ReduceSum" for each in (total, weights)):
        return None
    product = total.inputs[0].producer()
    if product is None or product.op_type != "Mul" or total.inputs[1] is not weights.inputs[1]:
        return None
    if weights.inputs[0] not in product.inputs:
        return None
    return next((value for value in product.inputs if value is not weights.inputs[0]), None)
