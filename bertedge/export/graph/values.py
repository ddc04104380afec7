"""What every pass needs of a graph: constants, counts, removal of what nothing reads, its bytes."""

import collections
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.external_data import unload_from_model
from onnx_ir.passes.common import RemoveUnusedNodesPass

WEIGHTS_FROM = 1024
"""Bytes from which a constant lies in a file of its own, beside the graph's."""


def count_operators(model: ir.Model) -> collections.Counter[str]:
    """Count the nodes of each operator."""
    return collections.Counter(node.op_type for node in model.graph)


def is_constant(value: ir.Value | None) -> bool:
    """Return whether a value is one of the graph's initializers."""
    return value is not None and bool(value.is_initializer())


def array_of(value: ir.Value) -> NDArray[Any]:
    """Return the array of a constant."""
    return np.asarray(value.const_value.numpy())


def add_constant(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """Add a constant to the graph and return its value."""
    value = ir.val(name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(value)
    return value


def remove_unread(model: ir.Model) -> int:
    """Remove the nodes, constants and inputs that no output depends on; count the nodes."""
    before = len(model.graph)
    RemoveUnusedNodesPass()(model)
    for value in [value for value in model.graph.inputs if not value.uses()]:
        model.graph.inputs.remove(value)
    return before - len(model.graph)


def to_proto(model: ir.Model, *, shapes: bool = True) -> onnx.ModelProto:
    """Return a graph as onnx and onnxruntime read it, with or without the inferred shapes.

    Those of constants are always left out: Optimum's quantizer transposes some constants.
    """
    proto = ir.to_proto(model)
    known = proto.graph.value_info
    kept = [each for each in known if shapes and each.name not in model.graph.initializers]
    del known[:]
    known.extend(kept)
    return proto


def save(model: ir.Model, path: Path) -> None:
    """Write a graph, with its inferred shapes, to one file; what lies in another stays there."""
    onnx.save(to_proto(model), path)


def save_apart(model: ir.Model, path: Path) -> None:
    """Write a graph to one file, and its large constants, which are mapped then, to another."""
    weights = f"{path.name}.weights"
    save(unload_from_model(model, path.parent, weights, size_threshold_bytes=WEIGHTS_FROM), path)
