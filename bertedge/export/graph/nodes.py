"""Small questions to an ONNX graph."""

import collections

import onnx


def integer(node: onnx.NodeProto, name: str, default: int) -> int:
    """Read an integer attribute of a node."""
    return next((int(item.i) for item in node.attribute if item.name == name), default)


def count_operators(model: onnx.ModelProto) -> collections.Counter[str]:
    """Count the nodes of each operator."""
    return collections.Counter(node.op_type for node in model.graph.node)
