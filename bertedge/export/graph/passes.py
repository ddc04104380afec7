"""Exact changes to a fused graph, each one function: model in place, number of nodes out.

A pass promises the same logits on every batch, up to the rounding of reordered sums; the proof
is the parity check that `export` runs on the graph that all passes have been through. Shapes
that were inferred before a pass are out of date after it.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bertedge.bundle import GraphPass
from bertedge.export.graph.nodes import integer

SEQUENCE_AXIS = 1
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


def run_passes(model: onnx.ModelProto, *, pair: bool) -> tuple[GraphPass, ...]:
    """Run all passes on the fused graph, in place; list those that found something to do.

    `pair` says that the model reads pairs of texts, so that token types vary.
    """
    passes = CPU_PASSES if pair else (*CPU_PASSES, *SINGLE_TEXT_PASSES)
    done = (GraphPass(name=name, nodes=run(model)) for name, run in passes)
    return tuple(each for each in done if each.nodes)


def fold_token_types(model: onnx.ModelProto) -> int:
    """Add the embedding of token type 0 to every position's, for single texts; count the nodes.

    The lookup, the sum and the input `token_type_ids` go. 0 where the graph has no token types.
    """
    graph = model.graph
    tables = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    lookups = [node for node in graph.node if node.op_type == "Gather" and node.input[0] in tables]
    types = [node for node in lookups if tables[node.input[0]].dims[0] <= MOST_TOKEN_TYPES]
    places = [node for node in lookups if "input_ids" not in node.input and node not in types]
    if len(types) != 1 or len(places) != 1:
        return 0
    added = [node for node in graph.node if types[0].output[0] in node.input]
    if len(added) != 1 or added[0].op_type != "Add":
        return 0
    other = next(name for name in added[0].input if name != types[0].output[0])
    row = numpy_helper.to_array(tables[types[0].input[0]])[0]
    table = tables[places[0].input[0]]
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table) + row, table.name))
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == added[0].output[0]:
                node.input[place] = other
    graph.node.remove(added[0])
    return 1 + remove_unread(model)


def remove_unread(model: onnx.ModelProto) -> int:
    """Remove the nodes, constants and inputs that no output depends on; count the nodes."""
    graph = model.graph
    read = {value.name for value in graph.output}
    unread = []
    for node in reversed(graph.node):
        if read.isdisjoint(node.output):
            unread.append(node)
        else:
            read.update(node.input)
    for node in unread:
        graph.node.remove(node)
    for values in (graph.initializer, graph.input):
        for value in [value for value in values if value.name not in read]:
            values.remove(value)
    return len(unread)


def drop_mask(model: onnx.ModelProto) -> int:
    """Take the mask from every attention, for batches without padding; count the attentions."""
    masked = [
        node
        for node in model.graph.node
        if len(node.input) > MASK_PLACE.get(node.op_type, len(node.input))
        and node.input[MASK_PLACE[node.op_type]]
    ]
    for node in masked:
        node.input[MASK_PLACE[node.op_type]] = ""
    remove_unread(model)
    return len(masked)


def add_bias_in_products(model: onnx.ModelProto) -> int:
    """Let int8 products add the bias that a BiasGelu adds behind them; count the products.

    The sums are the same to the bit; a pass over the widest activations is saved.
    """
    made = {node.output[0]: node for node in model.graph.node}
    reads = [name for node in model.graph.node for name in node.input]
    count = 0
    for node in model.graph.node:
        product = made.get(node.input[0]) if node.op_type == "BiasGelu" else None
        place = BIAS_PLACE.get(product.op_type) if product else None
        if product is None or place is None or reads.count(product.output[0]) != 1:
            continue
        if len(product.input) > place and product.input[place]:
            continue
        del product.input[place:]
        product.input.extend(["" for _ in range(len(product.input), place)])
        product.input.append(node.input[1])
        node.op_type = "Gelu"
        del node.input[1:]
        count += 1
    return count


def narrow_last_layer(model: onnx.ModelProto) -> int:
    """Run what follows the last attention for the first position only; count the nodes.

    For a head that reads nothing but position 0, [CLS]: the selection moves from the head back
    through every node that treats positions one by one, to the attention's output and to the
    residual stream. 0 where the graph has no such head (token labels).
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    heads = [i for i, node in enumerate(graph.node) if _selects_first(node, constants)]
    if len(heads) != 1:
        return 0
    inside = _narrowable(graph, heads[0], constants)
    if not inside:
        return 0
    nodes = [graph.node[i] for i in (*inside, *heads)]
    made = {name for node in nodes[:-1] for name in node.output}
    streams = [name for node in nodes for name in node.input if name and name not in constants]
    for name in dict.fromkeys(streams):
        if name not in made:
            _insert_first(graph, name, nodes)
    return len(inside)


def _selects_first(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """Tell a Gather of position 0 along the sequence that drops the axis."""
    if node.op_type != "Gather" or node.input[0] in constants or node.input[1] not in constants:
        return False
    index = numpy_helper.to_array(constants[node.input[1]])
    return integer(node, "axis", 0) == SEQUENCE_AXIS and index.ndim == 0 and int(index) == 0


def _narrowable(
    graph: onnx.GraphProto, head: int, constants: dict[str, onnx.TensorProto]
) -> list[int]:
    """Find the nodes whose outputs only the node `head` reads, directly or through each other."""
    readers: dict[str, set[int]] = {}
    for i, node in enumerate(graph.node):
        for name in node.input:
            readers.setdefault(name, set()).add(i)
    results = {value.name for value in graph.output}
    inside = {head}
    for i in reversed(range(head)):  # topologically sorted: readers come after what they read
        node = graph.node[i]
        read = {reader for name in node.output for reader in readers.get(name, ())}
        private = read and read <= inside and results.isdisjoint(node.output)
        if private and _is_positionwise(node, constants):
            inside.add(i)
    return sorted(inside - {head})


def _is_positionwise(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """Tell whether row `i` of the output depends on row `i` of the inputs alone."""
    streams = [name for name in node.input if name not in constants]
    fixed = [constants[name] for name in node.input if name in constants]
    if node.op_type == "LayerNormalization":
        return integer(node, "axis", -1) in (-1, 2) and streams == node.input[:1]
    if node.op_type == "SkipLayerNormalization":
        return streams == node.input[:2] and len(list(filter(None, node.output))) == 1
    if node.op_type == "MatMul":
        return streams == node.input[:1] and len(fixed[0].dims) == 2
    # A constant that is as long as the sequence would no longer fit.
    return node.op_type in ELEMENTWISE and all(
        len(tensor.dims) < 2 or tensor.dims[-2] == 1 for tensor in fixed
    )


def _insert_first(graph: onnx.GraphProto, name: str, readers: list[onnx.NodeProto]) -> None:
    """Put a Slice of the first position between the value `name` and `readers`."""
    bounds = [f"{name}_first_{part}" for part in ("starts", "ends", "axes")]
    for bound, number in zip(bounds, (0, 1, SEQUENCE_AXIS), strict=True):
        graph.initializer.append(numpy_helper.from_array(np.array([number], np.int64), bound))
    first = helper.make_node("Slice", [name, *bounds], [f"{name}_first"], name=f"{name}_first")
    for node in readers:
        for place, read in enumerate(node.input):
            if read == name:
                node.input[place] = first.output[0]
    made = [place for place, node in enumerate(graph.node) if name in node.output]
    graph.node.insert(made[0] + 1 if made else 0, first)


CPU_PASSES = (("cls-only-last-layer", narrow_last_layer),)
"""In the order in which they run; a later one may build on what an earlier one left."""
SINGLE_TEXT_PASSES = (("token-types-folded", fold_token_types),)
"""Exact where every token has type 0, as in single texts."""
