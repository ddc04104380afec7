"""A few channels that stretch the range of all others, taken out of the way of int8 exactly.

In BERTs one or two hidden units of a feed-forward, and one or two channels of the residual
stream, are several times as large as the rest. One scale a tensor then leaves the rest a third of
the steps: on MiniLM, SST-2, that is where almost all of int8's error comes from.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bertedge.bundle import GraphPass
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

    first: onnx.NodeProto
    activation: onnx.NodeProto
    second: onnx.NodeProto


def fold_outliers(
    model: onnx.ModelProto, maxima: Maxima, worth: Collection[str]
) -> tuple[GraphPass, ...]:
    """Take the outliers of the products `worth` it out of their way, in place.

    `maxima` are the largest magnitudes of the channels that products read. The logits stay the
    same up to rounding.
    """
    done = (
        GraphPass(name="outlier-units-apart", nodes=separate_units(model, maxima, worth)),
        GraphPass(name="outlier-channels-divided", nodes=divide_channels(model, maxima, worth)),
    )
    return tuple(each for each in done if each.nodes)


def separate_units(model: onnx.ModelProto, maxima: Maxima, worth: Collection[str]) -> int:
    """Compute the outlying hidden units of feed-forwards in float; count the feed-forwards.

    Their columns of the first product become 0, so the activation gives 0 for them and the second
    product neither sees nor needs them; a product of a few columns and rows adds their part.
    """
    graph = model.graph
    count = 0
    for block in _feed_forwards(graph):
        if block.second.name in worth:
            units = outliers_of(maxima[block.second.input[0]], UNITS)
            if len(units):
                _separate(graph, block, units)
                count += 1
    return count


def divide_channels(model: onnx.ModelProto, maxima: Maxima, worth: Collection[str]) -> int:
    """Divide the outlying input channels of products by constants; count the products.

    The rows of the weights take the factors, so the product stays what it was.
    """
    graph = model.graph
    weights = _weights(graph)
    activated = {block.second.name for block in _feed_forwards(graph)}
    count = 0
    for site in find_matmuls(model):
        node = next(each for each in graph.node if each.name == site.node)
        if site.node not in worth or site.node in activated or site.weight not in weights:
            continue
        if node.op_type == "Gemm":  # the head's: weights may lie transposed, and little is gained
            continue
        largest = maxima[site.source]
        if not len(outliers_of(largest, CHANNELS)):
            continue
        factors = np.maximum(largest / np.sort(largest)[-CHANNELS - 1], 1).astype(np.float32)
        weight = numpy_helper.to_array(weights[site.weight])
        scaled = (weight * factors[:, None]).astype(np.float32)
        _replace(graph, node, scaled, f"{site.node}/scaled")
        shrink = numpy_helper.from_array(1 / factors, f"{site.node}/shrink")
        graph.initializer.append(shrink)
        node.input[0] = f"{site.node}/shrunk"
        _insert_before(
            graph, node, [helper.make_node("Mul", [site.source, shrink.name], [node.input[0]])]
        )
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


def _separate(graph: onnx.GraphProto, block: FeedForward, units: NDArray[np.int64]) -> None:
    """Move `units` of a feed-forward into a branch of float products."""
    weights = _weights(graph)
    prefix = block.second.name + FLOAT_BRANCH
    parts = {
        "in": (block.first, (slice(None), units)),
        "bias": (block.activation, (units,)),
        "out": (block.second, (units, slice(None))),
    }
    for name, (node, place) in parts.items():
        array = numpy_helper.to_array(weights[node.input[1]]).copy()
        apart = np.ascontiguousarray(array[place])
        graph.initializer.append(numpy_helper.from_array(apart, prefix + name))
        array[place] = 0
        _replace(graph, node, array, f"{prefix}{name}_rest")
    last = _with_bias(graph, block.second)
    result = last.output[0]
    last.output[0] = f"{prefix}rest"
    values = {part: f"{prefix}{part}_value" for part in ("in", "activation", "out")}
    activation = onnx.NodeProto()
    activation.CopyFrom(block.activation)
    activation.name = f"{prefix}activation"
    activation.input[:] = [values["in"], f"{prefix}bias"]
    activation.output[:] = [values["activation"]]
    branch = [
        _product(block.first.input[0], f"{prefix}in", values["in"]),
        activation,
        _product(values["activation"], f"{prefix}out", values["out"]),
        helper.make_node("Add", [last.output[0], values["out"]], [result], name=f"{prefix}join"),
    ]
    after = list(graph.node).index(last) + 1
    for i, each in enumerate(branch):
        graph.node.insert(after + i, each)


def _product(source: str, weight: str, made: str) -> onnx.NodeProto:
    return helper.make_node("MatMul", [source, weight], [made], name=f"{weight}_product")


def _with_bias(graph: onnx.GraphProto, product: onnx.NodeProto) -> onnx.NodeProto:
    """Find the node that adds the bias to a product: onnxruntime fuses it if nothing is between."""
    constants = {tensor.name for tensor in graph.initializer}
    readers = [node for node in graph.node if product.output[0] in node.input]
    if len(readers) == 1 and readers[0].op_type == "Add" and constants & set(readers[0].input):
        return readers[0]
    return product


def _feed_forwards(graph: onnx.GraphProto) -> list[FeedForward]:
    """Find the feed-forwards whose inner values nothing else reads."""
    weights = _weights(graph)
    made = {name: node for node in graph.node for name in node.output}
    reads = [name for node in graph.node for name in node.input]
    found = []
    for second in graph.node:
        activation = made.get(second.input[0]) if second.input else None
        first = made.get(activation.input[0]) if activation and activation.input else None
        if (
            first is not None
            and activation is not None
            and second.op_type == first.op_type == "MatMul"
            and FLOAT_BRANCH not in second.name
            and activation.op_type in _BIASED_ACTIVATIONS
            and len(activation.input) == 2
            and {first.input[1], activation.input[1], second.input[1]} <= weights.keys()
            and reads.count(first.output[0]) == reads.count(activation.output[0]) == 1
        ):
            found.append(FeedForward(first=first, activation=activation, second=second))
    return found


def _weights(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in graph.initializer}


def _replace(
    graph: onnx.GraphProto, node: onnx.NodeProto, array: NDArray[np.float32], name: str
) -> None:
    """Give `node` a weight of its own: exporters let nodes share equal ones."""
    old = node.input[1]
    node.input[1] = name
    graph.initializer.append(numpy_helper.from_array(array, name))
    if not any(old in each.input for each in graph.node):
        graph.initializer.remove(_weights(graph)[old])


def _insert_before(
    graph: onnx.GraphProto, node: onnx.NodeProto, nodes: list[onnx.NodeProto]
) -> None:
    place = next(i for i, each in enumerate(graph.node) if each.name == node.name)
    for offset, each in enumerate(nodes):
        graph.node.insert(place + offset, each)
