"""Embeddings of a graph for CUDA: one kernel, and nothing left that computes shapes.

Looking up positions takes Shape, Slice and their like, which onnxruntime puts on the CPU; a graph
with such nodes between its inputs and a kernel cannot be captured as a CUDA graph. As
`EmbedLayerNormalization` the lookups, their sum and the count of the mask are one node that
numbers positions itself.
"""

import numpy as np
import onnx_ir as ir

from bertedge.export.graph.passes import MOST_TOKEN_TYPES
from bertedge.export.graph.values import array_of, is_constant, remove_unread

_MASK, _IDS = "attention_mask", "input_ids"


def fuse_embeddings(model: ir.Model) -> int:
    """Make one node of the lookups and of the mask's count; return how many nodes it replaced.

    The layer norm behind them stays a node of its own, reading the sum: it adds in fp32 whatever
    precision the graph has, the fused kernel's own does not in every onnxruntime. 0 where the
    embeddings have another form.
    """
    graph = model.graph
    norm = next((node for node in graph if node.op_type == "LayerNormalization"), None)
    lookups = _lookups(norm.inputs[0]) if norm is not None else []
    words = [node for node in lookups if node.inputs[1].name == _IDS]
    others = [node for node in lookups if node not in words]
    types = [node for node in others if node.inputs[0].shape[0] <= MOST_TOKEN_TYPES]
    places = [node for node in others if node not in types]
    if norm is None or len(words) != 1 or len(places) != 1 or len(types) > 1:
        return 0
    segments, segment_ids = types[0].inputs if types else (None, None)
    positions, position_ids = places[0].inputs
    counts = _mask_counts(graph)
    mask = next(value for value in graph.inputs if value.name == _MASK) if counts else None
    integers = [
        value and ir.node("Cast", [value], {"to": ir.DataType.INT32.value})
        for value in (
            words[0].inputs[1],
            segment_ids,
            mask,
            None if _counts_up(position_ids) else position_ids,
        )
    ]
    ids, segment_ids, mask, position_ids = (each and each.outputs[0] for each in integers)
    fused = ir.node(
        "EmbedLayerNormalization",
        [
            *(ids, segment_ids, words[0].inputs[0], positions, segments),
            *(*norm.inputs[1:3], mask, position_ids),
        ],
        outputs=[
            ir.val(name) for name in ("embeddings_normalized", "mask_count", "embeddings_sum")
        ],
        name="embeddings",
        domain="com.microsoft",
    )
    graph.insert_before(norm, [*filter(None, integers), fused])
    norm.replace_input_with(0, fused.outputs[2])
    for value in counts:
        value.replace_all_uses_with(fused.outputs[1])
    graph.sort()
    return remove_unread(model)


def take_int32(model: ir.Model) -> int:
    """Have the graph take int32 instead of int64: what its kernels read; count the inputs."""
    graph = model.graph
    wide = [value for value in graph.inputs if value.dtype == ir.DataType.INT64]
    for value in wide:
        casts = [node for node in value.consumers() if node.op_type == "Cast"]
        others = [use for use in value.uses() if use.node not in casts]
        value.dtype = ir.DataType.INT32
        if others:
            widened = ir.node(
                "Cast", [value], {"to": ir.DataType.INT64.value}, name=f"{value.name}_int64"
            )
            graph.insert_before(graph[0], widened)
            for node, place in others:
                node.replace_input_with(place, widened.outputs[0])
        for node in casts:
            if node.attributes["to"].value == ir.DataType.INT32:
                node.outputs[0].replace_all_uses_with(value)
                graph.remove(node, safe=True)
    return len(wide)


def _lookups(value: ir.Value) -> list[ir.Node]:
    """Find the lookups that are summed to a value; none where something else is too."""
    node = value.producer()
    if node is None:
        return []
    if node.op_type == "Gather" and is_constant(node.inputs[0]):
        return [node]
    if node.op_type != "Add":
        return []
    parts = [_lookups(part) for part in node.inputs]
    return [each for part in parts for each in part] if all(parts) else []


def _counts_up(value: ir.Value) -> bool:
    """Return whether positions are 0, 1, 2 … in every row: a slice from such a table's start."""
    node = value.producer()
    if node is None or node.op_type != "Slice" or not all(map(is_constant, node.inputs[:2])):
        return False
    numbers, start = (array_of(each) for each in node.inputs[:2])
    return bool(not start.any() and (numbers.ravel() == np.arange(numbers.size)).all())


def _mask_counts(graph: ir.Graph) -> list[ir.Value]:
    """Find the values that are the number of ones in each row of the mask, `(batch,)`."""
    found = []
    for node in graph:
        if node.op_type == "ReduceSum" and not node.attributes.get_int("keepdims", 1):
            source = node.inputs[0]
            if source.producer() is not None and source.producer().op_type == "Cast":
                source = source.producer().inputs[0]
            if source.name == _MASK:
                found.append(node.outputs[0])
    return found
