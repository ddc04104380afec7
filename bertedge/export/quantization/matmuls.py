"""The matrix products of a float graph that int8 is about, and what they read when it runs."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bertedge.export.graph.fusion import CPU_DISABLED_OPTIMIZERS
from bertedge.export.graph.values import is_constant, to_proto
from bertedge.runtime.encoding import Batch
from bertedge.runtime.providers import CPU
from bertedge.runtime.session import open_native

FLOAT_BRANCH = "/outliers/"
"""In the names of nodes that stay in float whatever the recipe."""
_PRODUCTS = ("Attention", "MatMul", "Gemm")

Activations = dict[str, NDArray[np.float32]]
"""Of each value `(tokens, channels)`, without padding."""


def find_matmuls(model: ir.Model) -> tuple[ir.Node, ...]:
    """Return the products that become int8, in the order in which they run.

    Each reads activations (its first input), and weights that are constant (its second).
    """
    products = (node for node in _products(model) if is_constant(node.inputs[1]))
    return tuple(node for node in products if FLOAT_BRANCH not in node.name)


def float_branches(model: ir.Model) -> tuple[str, ...]:
    """Return the names of the products that must stay in float."""
    return tuple(node.name for node in _products(model) if FLOAT_BRANCH in node.name)


def open_float(model: ir.Model) -> Any:
    """Open a graph in memory as an onnxruntime session."""
    graph = to_proto(model, shapes=False).SerializeToString()
    return open_native(graph, device=CPU, disabled_optimizers=CPU_DISABLED_OPTIMIZERS)


def watch_inputs(model: ir.Model, batches: Sequence[Batch]) -> Iterator[Activations]:
    """Run the graph on each batch and yield what its products read, by the values' names."""
    watched = model.clone()
    sources = list(dict.fromkeys(node.inputs[0] for node in find_matmuls(watched)))
    for value in sources:
        if not value.is_graph_output():
            value.type, value.shape = ir.TensorType(ir.DataType.FLOAT), None
            watched.graph.outputs.append(value)
    names = [value.name for value in sources]
    session = open_float(watched)
    for batch in batches:
        values = session.run(names, feed(session, batch))
        yield {
            name: _tokens(value, batch.attention_mask)
            for name, value in zip(names, values, strict=True)
        }


def feed(session: Any, batch: Batch) -> dict[str, NDArray[np.int64]]:
    """Return the inputs `(texts, tokens)` of a batch that a session's graph has, by name."""
    fields = Batch.__dataclass_fields__
    names = [each.name for each in session.get_inputs() if each.name in fields]
    return {name: getattr(batch, name) for name in names}


def _products(model: ir.Model) -> Iterator[ir.Node]:
    return (node for node in model.graph if node.op_type in _PRODUCTS)


def _tokens(value: NDArray[np.float32], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    if value.shape[:-1] == mask.shape:
        return np.asarray(value[mask.astype(bool)])
    return value.reshape(-1, value.shape[-1])  # [CLS] only
