"""Exact changes to a fused graph, each one function: model in place, number of nodes out.

A pass promises the same logits on every batch, up to the rounding of reordered sums; the proof
is the parity check that `export` runs on the graph that all passes have been through. Shapes
that were inferred before a pass are out of date after it.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx_ir as ir

from bertedge.bundle import GraphPass
from bertedge.export.graph.values import add_constant, array_of, is_constant, remove_unread

SEQUENCE_AXIS = 1
AXES_AS_INPUT = 18
"""The opset from which ReduceMean reads its axes as a value."""
MOST_TOKEN_TYPES = 4
"""A table of embeddings with more rows is of words or positions."""
MASK_PLACE = {"Attention": 3, "QAttention": 5, "MultiHeadAttention": 4}
"""Which input of an attention is its mask."""
BIAS_PLACE = {"DynamicQuantizeMatMul": 4, "MatMulIntegerToFloat": 6}
"""Which input of an int8 product is its bias."""
ELEMENTWISE = {
    *("Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Reciprocal", "Neg", "Abs", "Exp", "Cast"),
    *("BiasGelu", "FastGelu", "Gelu", "QuickGelu", "Erf", "Relu", "LeakyRelu", "Sigmoid", "Tanh"),
    *("HardSigmoid", "Softplus", "Clip", "Identity"),
}
"""Operators that give each position from the same position of their inputs."""

Pass = tuple[str, Callable[[ir.Model], int]]


def run_passes(
    model: ir.Model, *, pair: bool, device_passes: Sequence[Pass] = ()
) -> tuple[GraphPass, ...]:
    """Run all passes on the fused graph, in place; list those that found something to do.

    `pair` says that the model reads pairs of texts, so that token types vary. `device_passes` run
    behind those for every device.
    """
    passes = (*PASSES, *(() if pair else SINGLE_TEXT_PASSES), *device_passes)
    done = (GraphPass(name=name, nodes=run(model)) for name, run in passes)
    return tuple(each for each in done if each.nodes)


def summarize_passes(passes: Iterable[GraphPass], began: float) -> str:
    """Return passes and their nodes in one line, with the seconds since `began`."""
    listed = ", ".join(f"{each.name} {each.nodes}" for each in passes)
    return f"{listed}  {time.perf_counter() - began:.1f} s"


def fold_token_types(model: ir.Model) -> int:
    """Add the embedding of token type 0 to every position's, for single texts; count the nodes.

    The lookup, the sum and the input `token_type_ids` go. 0 where the graph has no token types.
    """
    lookups = [node for node in model.graph if _is_lookup(node)]
    types = [node for node in lookups if node.inputs[0].shape[0] <= MOST_TOKEN_TYPES]
    places = [node for node in lookups if node.inputs[1].name != "input_ids" and node not in types]
    if len(types) != 1 or len(places) != 1:
        return 0
    (found,) = types[0].outputs
    readers = found.consumers()
    if len(readers) != 1 or readers[0].op_type != "Add":
        return 0
    (added,) = readers
    other = next(value for value in added.inputs if value is not found)
    table = places[0].inputs[0]
    array = array_of(table) + array_of(types[0].inputs[0])[0]
    table.const_value = ir.tensor(array, name=table.name)
    added.outputs[0].replace_all_uses_with(other)
    return remove_unread(model)


def drop_mask(model: ir.Model) -> int:
    """Take the mask from every attention, for batches without padding; count the attentions."""
    count = 0
    for node in model.graph:
        place = MASK_PLACE.get(node.op_type)
        if place is not None and len(node.inputs) > place and node.inputs[place] is not None:
            node.replace_input_with(place, None)
            count += 1
    remove_unread(model)
    return count


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


def add_bias_in_products(model: ir.Model) -> int:
    """Let int8 products add the bias that a BiasGelu adds behind them; count the products.

    The sums are the same to the bit; a pass over the widest activations is saved.
    """
    count = 0
    for node in model.graph:
        product = node.inputs[0].producer() if node.op_type == "BiasGelu" else None
        place = BIAS_PLACE.get(product.op_type) if product else None
        if product is None or place is None or len(node.inputs[0].uses()) != 1:
            continue
        if len(product.inputs) > place and product.inputs[place] is not None:
            continue
        product.resize_inputs(place + 1)
        product.replace_input_with(place, node.inputs[1])
        node.op_type = "Gelu"
        node.resize_inputs(1)
        count += 1
    return count


def narrow_last_layer(model: ir.Model) -> int:
    """Run what follows the last attention for the first position only; count the nodes.

    For a head that reads nothing but position 0, [CLS]: the selection moves from the head back
    through every node that treats positions one by one, to the attention's output and to the
    residual stream. 0 where the graph has no such head (token labels).
    """
    heads = [node for node in model.graph if _selects_first(node)]
    if len(heads) != 1:
        return 0
    inside = _narrowable(model.graph, heads[0])
    if not inside:
        return 0
    nodes = [*inside, *heads]
    streams = [value for node in nodes for value in node.inputs if not is_constant(value)]
    for value in dict.fromkeys(filter(None, streams)):
        if value.producer() not in inside:
            _insert_first(model.graph, value, nodes)
    return len(inside)


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


def _is_lookup(node: ir.Node) -> bool:
    """Return whether a node takes rows of a table."""
    table = node.inputs[0]
    return node.op_type == "Gather" and is_constant(table) and len(table.shape) == 2


def _selects_first(node: ir.Node) -> bool:
    """Return whether a node is a Gather of position 0 of the sequence, without that axis."""
    if node.op_type != "Gather" or is_constant(node.inputs[0]) or not is_constant(node.inputs[1]):
        return False
    index = array_of(node.inputs[1])
    axis = node.attributes.get_int("axis", 0)
    return bool(axis == SEQUENCE_AXIS and index.ndim == 0 and index == 0)


def _narrowable(graph: ir.Graph, head: ir.Node) -> list[ir.Node]:
    """Find the nodes whose outputs only `head` reads, directly or through each other."""
    inside = {head}
    for node in reversed(graph):  # topologically sorted: readers come after what they read
        readers = {reader for value in node.outputs for reader in value.consumers()}
        results = any(value.is_graph_output() for value in node.outputs)
        if readers and readers <= inside and not results and _is_positionwise(node):
            inside.add(node)
    return [node for node in graph if node in inside and node is not head]


def _is_positionwise(node: ir.Node) -> bool:
    """Return whether row `i` of the output depends on row `i` of the inputs alone."""
    streams = [value for value in node.inputs if not is_constant(value)]
    fixed = [value.shape for value in node.inputs if is_constant(value)]
    if node.op_type == "LayerNormalization":
        return node.attributes.get_int("axis", -1) in (-1, 2) and streams == [node.inputs[0]]
    if node.op_type == "SkipLayerNormalization":
        used = [value for value in node.outputs if value.name]
        return streams == list(node.inputs[:2]) and len(used) == 1
    if node.op_type == "MatMul":
        return streams == [node.inputs[0]] and len(fixed[0]) == 2
    # A constant that is as long as the sequence would no longer fit.
    return node.op_type in ELEMENTWISE and all(len(shape) < 2 or shape[-2] == 1 for shape in fixed)


def _insert_first(graph: ir.Graph, value: ir.Value, readers: list[ir.Node]) -> None:
    """Insert a Slice of the first position between `value` and `readers`."""
    name = f"{value.name}_first"
    parts = zip(("starts", "ends", "axes"), (0, 1, SEQUENCE_AXIS), strict=True)
    bounds = [add_constant(graph, f"{name}_{part}", np.array([at], np.int64)) for part, at in parts]
    first = ir.node("Slice", [value, *bounds], outputs=[ir.val(name)], name=name)
    for node in readers:
        for place, read in enumerate(node.inputs):
            if read is value:
                node.replace_input_with(place, first.outputs[0])
    producer = value.producer()
    if producer is None:
        graph.insert_before(graph[0], first)
    else:
        graph.insert_after(producer, first)


PASSES: tuple[Pass, ...] = (("cls-only-last-layer", narrow_last_layer),)
"""In the order in which they run; a later one may build on what an earlier one left."""
SINGLE_TEXT_PASSES: tuple[Pass, ...] = (("token-types-folded", fold_token_types),)
"""Exact where every token has type 0, as in single texts."""
