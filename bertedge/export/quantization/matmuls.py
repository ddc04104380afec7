"""The matrix products of a float graph that int8 is about, and how to watch what they read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bertedge.export.graph.fusion import CPU_DISABLED_OPTIMIZERS
from bertedge.runtime.batching import Batch
from bertedge.runtime.providers import CPU
from bertedge.runtime.session import open_native

FLOAT_BRANCH = "/outliers/"
"""In the names of nodes that stay in float whatever the recipe."""
_PRODUCTS = ("Attention", "MatMul", "Gemm")

Activations = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatMul:
    """A product of activations with constant weights."""

    node: str
    """The node's name."""
    source: str
    """The value that would be rounded to int8."""
    weight: str


def find_matmuls(model: onnx.ModelProto) -> tuple[MatMul, ...]:
    """List the products that become int8, in the order in which they run."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return tuple(
        MatMul(node=node.name, source=node.input[0], weight=node.input[1])
        for node in model.graph.node
        if node.op_type in _PRODUCTS
        and node.input[1] in constants
        and FLOAT_BRANCH not in node.name
    )


def float_branches(model: onnx.ModelProto) -> tuple[str, ...]:
    """Name the products that must stay in float."""
    nodes = (node for node in model.graph.node if node.op_type in _PRODUCTS)
    return tuple(node.name for node in nodes if FLOAT_BRANCH in node.name)


def open_float(model: onnx.ModelProto) -> Any:
    """Open a graph in memory as an onnxruntime session."""
    return open_native(
        model.SerializeToString(), device=CPU, disabled_optimizers=CPU_DISABLED_OPTIMIZERS
    )


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph, without the shapes that were inferred for it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    return copy


def watch(
    model: onnx.ModelProto, sources: Iterable[str], batches: Sequence[Batch]
) -> Iterator[Activations]:
    """Run the graph and give what the products read, `(tokens, channels)` without padding."""
    names = list(dict.fromkeys(sources))
    watched = copy_of(model)
    results = {value.name for value in watched.graph.output}
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in names
        if name not in results
    )
    session = open_float(watched)
    for batch in batches:
        values = session.run(names, feed(session, batch))
        yield {
            name: _tokens(value, batch.attention_mask)
            for name, value in zip(names, values, strict=True)
        }


def feed(session: Any, batch: Batch) -> dict[str, NDArray[np.int64]]:
    """Give a session the inputs of a batch that its graph has."""
    fields = Batch.__dataclass_fields__
    names = [each.name for each in session.get_inputs() if each.name in fields]
    return {name: getattr(batch, name) for name in names}


def _tokens(value: NDArray[np.float32], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    if value.shape[:-1] == mask.shape:
        return np.asarray(value[mask.astype(bool)])
    return value.reshape(-1, value.shape[-1])  # [CLS] only
