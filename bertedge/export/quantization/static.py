"""int8 with scales that were chosen at export: a text's answer is the same in every batch."""

import numpy as np
import onnx_ir as ir

from bertedge.errors import VerificationError
from bertedge.export.graph.values import add_constant, is_constant
from bertedge.export.quantization.calibration import Range

LEVELS = 255


def freeze_scales(model: ir.Model, ranges: dict[str, Range]) -> int:
    """Replace the scales found at run time by those of `ranges`, in place; count the values.

    Each product, with its bias, becomes one MatMulIntegerToFloat: onnxruntime fuses only products
    with dynamic scales by itself.
    """
    graph = model.graph
    count = 0
    for node in graph:
        if node.op_type != "DynamicQuantizeLinear":
            continue
        name = node.inputs[0].name
        if name not in ranges:
            raise VerificationError(
                f"no range was measured for {name}: the quantizer reads other values than "
                "calibration watched; install the versions in constraints.txt"
            )
        found = node.outputs[1:]
        node.op_type = "QuantizeLinear"
        node.resize_inputs(3)
        for place, (value, array) in enumerate(zip(found, scale_of(*ranges[name]), strict=True), 1):
            fixed = add_constant(graph, value.name, array)
            value.replace_all_uses_with(fixed)
            node.replace_input_with(place, fixed)
        node.resize_outputs(1)
        count += 1
    for node in graph:
        if node.op_type == "MatMulInteger":
            _join_product(graph, node)
    return count


def scale_of(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the float32 scale and uint8 zero point, both scalars, that map a range to 0..255."""
    step = max((high - low) / LEVELS, float(np.finfo(np.float32).tiny))
    offset = np.clip(np.rint(-low / step), 0, LEVELS)
    return np.array(step, np.float32), np.array(offset, np.uint8)


def _join_product(graph: ir.Graph, product: ir.Node) -> None:
    """Make MatMulInteger, Cast, the products of scales and the bias one node."""
    a, b, a_zero, b_zero = product.inputs
    (cast,) = product.outputs[0].consumers()
    (scaled,) = cast.outputs[0].consumers()
    scales = next(value for value in scaled.inputs if value is not cast.outputs[0]).producer()
    added = _bias_added_to(scaled.outputs[0])
    last, bias = added or (scaled, None)
    joined = ir.node(
        "MatMulIntegerToFloat",
        [a, b, *scales.inputs, a_zero, b_zero, *([bias] if bias else [])],
        domain="com.microsoft",
        name=product.name,
    )
    old = [product, cast, scales, scaled, *([last] if bias else [])]
    ir.convenience.replace_nodes_and_values(
        graph, last, old, [joined], last.outputs, joined.outputs
    )


def _bias_added_to(value: ir.Value) -> tuple[ir.Node, ir.Value] | None:
    """Find the one reader of a product that adds a vector to it."""
    readers = value.consumers()
    if len(readers) != 1 or readers[0].op_type != "Add":
        return None
    others = [other for other in readers[0].inputs if other is not value]
    if len(others) == 1 and is_constant(others[0]) and len(others[0].shape) == 1:
        return readers[0], others[0]
    return None
