"""Small questions to an ONNX graph."""

import onnx


def integer(node: onnx.NodeProto, name: str, default: int) -> int:
    """Read an integer attribute of a node."""
    return next((int(item.i) for item in node.attribute if item.name == name), default)


def forget_shapes(graph: onnx.GraphProto, names: set[str]) -> None:
    """Remove the inferred shapes of values that have changed."""
    kept = [value for value in graph.value_info if value.name not in names]
    del graph.value_info[:]
    graph.value_info.extend(kept)
