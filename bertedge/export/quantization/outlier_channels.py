"""A few channels that stretch the range of all others, taken out of the way of int8 exactly.

In BERTs one or two hidden units of a feed-forward, and one or two channels of the residual
stream, are several times as large as the rest. One scale a tensor then leaves the rest a third of
the steps: on MiniLM, SST-2, that is where almost all of int8's error comes from.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bertedge.bundle import GraphPass
from bertedge.export.graph.values import add_constant, array_of, is_constant
from bertedge.export.quantization.matmuls import FLOAT_BRANCH, find_matmuls

UNITS = 4
"""Hidden units of a layer that may be computed apart."""
CHANNELS = 8
"""Channels of the residual stream that may be divided."""
CLEARLY = 1.5
"""How far above the largest of the rest an outlier must be."""

_BIASED_ACTIVATIONS = ("BiasGelu", "FastGelu")

Maxima = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForward:
    """`second(activation(first(x) + bias))`, a layer's two products."""

    first: ir.Node
    activation: ir.Node
    second: ir.Node


def fold_outliers(model: ir.Model, maxima: Maxima, worth: Collection[str]) -> tuple[GraphPass, ...]:
    """Take the outliers of the products `worth` it out of their way, in place.

    `maxima` are the largest magnitudes of the channels that products read. The logits stay the
    same up to rounding.
    """
    done = (
        GraphPass(name="outlier-units-apart", nodes=separate_units(model, maxima, worth)),
        GraphPass(name="outlier-channels-divided", nodes=divide_channels(model, maxima, worth)),
    )
    return tuple(each for each in done if each.nodes)


def separate_units(model: ir.Model, maxima: Maxima, worth: Collection[str]) -> int:
    """Compute the outlying hidden units of feed-forwards in float; count the feed-forwards.

    Their columns of the first product become 0, so the activation gives 0 for them and the second
    product neither sees nor needs them; a product of a few columns and rows adds their part.
    """
    count = 0
    for block in _feed_forwards(model):
        if block.second.name in worth:
            units = outliers_of(maxima[block.second.inputs[0].name], UNITS)
            if len(units):
                _separate(model.graph, block, units)
                count += 1
    return count


def divide_channels(model: ir.Model, maxima: Maxima, worth: Collection[str]) -> int:
    """Divide the outlying input channels of products by constants; count the products.

    The rows of the weights take the factors, so the product stays what it was.
    """
    graph = model.graph
    activated = {block.second for block in _feed_forwards(model)}
    count = 0
    for node in find_matmuls(model):
        if node.name not in worth or node in activated:
            continue
        if node.op_type == "Gemm":  # the head's: weights may lie transposed, and little is gained
            continue
        source, weight, *_ = node.inputs
        largest = maxima[source.name]
        if not len(outliers_of(largest, CHANNELS)):
            continue
        factors = np.maximum(largest / np.sort(largest)[-CHANNELS - 1], 1).astype(np.float32)
        scaled = (array_of(weight) * factors[:, None]).astype(np.float32)
        _replace_weight(graph, node, scaled, f"{node.name}/scaled")
        shrink = add_constant(graph, f"{node.name}/shrink", 1 / factors)
        shrunk = ir.node("Mul", [source, shrink])
        graph.insert_before(node, shrunk)
        node.replace_input_with(0, shrunk.outputs[0])
        count += 1
    return count


def outliers_of(largest: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Find the channels, at most `most`, that are clearly larger than all others."""
    if len(largest) <= 2 * most:
        return np.empty(0, np.int64)
    order = np.argsort(-largest, kind="stable").astype(np.int64)
    rest = float(largest[order[most]])
    chosen = order[:most]
    return chosen[largest[chosen] > CLEARLY * rest] if rest > 0 else chosen[:0]


def _separate(graph: ir.Graph, block: FeedForward, units: NDArray[np.int64]) -> None:
    """Move `units` of a feed-forward into a branch of float products."""
    prefix = block.second.name + FLOAT_BRANCH
    parts = {
        "in": (block.first, (slice(None), units)),
        "bias": (block.activation, (units,)),
        "out": (block.second, (units, slice(None))),
    }
    apart = {}
    for name, (node, place) in parts.items():
        array = array_of(node.inputs[1]).copy()
        apart[name] = add_constant(graph, prefix + name, np.ascontiguousarray(array[place]))
        array[place] = 0
        _replace_weight(graph, node, array, f"{prefix}{name}_rest")
    last = _with_bias(block.second)
    rest = last.outputs[0]
    first = ir.node("MatMul", [block.first.inputs[0], apart["in"]], name=f"{prefix}in_product")
    activation = ir.Node(
        block.activation.domain,
        block.activation.op_type,
        [first.outputs[0], apart["bias"]],
        block.activation.attributes.values(),
        name=f"{prefix}activation",
    )
    second = ir.node("MatMul", [activation.outputs[0], apart["out"]], name=f"{prefix}out_product")
    join = ir.node("Add", [rest, second.outputs[0]], name=f"{prefix}join")
    rest.replace_all_uses_with(join.outputs[0])
    join.replace_input_with(0, rest)
    graph.insert_after(last, [first, activation, second, join])


def _with_bias(product: ir.Node) -> ir.Node:
    """Find the node that adds the bias to a product: onnxruntime fuses it if nothing is between."""
    readers = product.outputs[0].consumers()
    biased = len(readers) == 1 and readers[0].op_type == "Add"
    return readers[0] if biased and any(map(is_constant, readers[0].inputs)) else product


def _feed_forwards(model: ir.Model) -> list[FeedForward]:
    """Find the feed-forwards whose inner values nothing else reads."""
    found = []
    products = find_matmuls(model)
    for second in products:
        activation = second.inputs[0].producer()
        if activation is None or activation.op_type not in _BIASED_ACTIVATIONS:
            continue
        first = activation.inputs[0].producer()
        if (
            second.op_type == "MatMul"
            and first in products
            and first.op_type == "MatMul"
            and len(activation.inputs) == 2
            and is_constant(activation.inputs[1])
            and len(first.outputs[0].uses()) == len(activation.outputs[0].uses()) == 1
        ):
            found.append(FeedForward(first=first, activation=activation, second=second))
    return found


def _replace_weight(graph: ir.Graph, node: ir.Node, array: NDArray[np.float32], name: str) -> None:
    """Replace the weight of `node` alone: exporters let nodes share equal ones."""
    shared = node.inputs[1]
    node.replace_input_with(1, add_constant(graph, name, array))
    if not shared.uses():
        del graph.initializers[shared.name]
