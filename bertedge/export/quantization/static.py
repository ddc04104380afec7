"""int8 with scales that were chosen at export: a text's answer is the same in every batch."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bertedge.errors import VerificationError
from bertedge.export.quantization.calibration import Range

LEVELS = 255


def freeze_scales(model: onnx.ModelProto, ranges: dict[str, Range]) -> int:
    """Replace the scales found at run time by those of `ranges`, in place; count the values.

    Each product, with its bias, becomes one MatMulIntegerToFloat: onnxruntime fuses only products
    with dynamic scales by itself.
    """
    graph = model.graph
    count = 0
    for node in graph.node:
        if node.op_type != "DynamicQuantizeLinear":
            continue
        (source,), (_, scale, zero) = node.input, node.output
        if source not in ranges:
            raise VerificationError(
                f"no range was measured for {source}: the quantizer reads other values than "
                "calibration watched; install the versions in constraints.txt"
            )
        step, offset = scale_of(*ranges[source])
        graph.initializer.append(numpy_helper.from_array(step, scale))
        graph.initializer.append(numpy_helper.from_array(offset, zero))
        node.op_type = "QuantizeLinear"
        node.input.extend([scale, zero])
        del node.output[1:]
        count += 1
    _join_products(graph)
    return count


def scale_of(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Give the float32 scale and uint8 zero point that spread 0 to 255 over a range around 0."""
    step = max((high - low) / LEVELS, float(np.finfo(np.float32).tiny))
    offset = np.clip(np.rint(-low / step), 0, LEVELS)
    return np.array(step, np.float32), np.array(offset, np.uint8)


def _join_products(graph: onnx.GraphProto) -> None:
    """Make MatMulInteger, Cast, the products of scales and the bias one node."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    gone: set[str] = set()
    joined: dict[str, onnx.NodeProto] = {}
    for product in graph.node:
        if product.op_type != "MatMulInteger":
            continue
        (cast,) = readers[product.output[0]]
        (scaled,) = readers[cast.output[0]]
        scales = next(
            node for node in graph.node if node.output[0] in set(scaled.input) - set(cast.output)
        )
        nodes = [product, cast, scales, scaled]
        bias = _bias(readers.get(scaled.output[0], []), scaled.output[0], constants)
        last = bias[0] if bias else scaled
        a, b, a_zero, b_zero = product.input
        inputs = [a, b, *scales.input, a_zero, b_zero, *([bias[1]] if bias else [])]
        gone |= {node.output[0] for node in nodes if node is not last}
        joined[last.output[0]] = helper.make_node(
            "MatMulIntegerToFloat",
            inputs,
            [last.output[0]],
            name=product.name,
            domain="com.microsoft",
        )
    nodes = [joined.get(node.output[0], node) for node in graph.node if node.output[0] not in gone]
    del graph.node[:]
    graph.node.extend(nodes)


def _bias(
    readers: list[onnx.NodeProto], value: str, constants: dict[str, onnx.TensorProto]
) -> tuple[onnx.NodeProto, str] | None:
    """Find the one reader of a product that adds a vector to it."""
    if len(readers) != 1 or readers[0].op_type != "Add":
        return None
    others = [name for name in readers[0].input if name != value]
    if len(others) == 1 and others[0] in constants and len(constants[others[0]].dims) == 1:
        return readers[0], others[0]
    return None
