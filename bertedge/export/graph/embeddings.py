"""Embeddings of a graph for CUDA: one kernel, and nothing left that computes shapes.

Looking up positions takes Shape, Slice and their like, which onnxruntime puts on the CPU; a graph
with such nodes between its inputs and a kernel cannot be captured as a CUDA graph. As
`EmbedLayerNormalization` the lookups, their sum and the count of the mask are one node that
numbers positions itself.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bertedge.export.graph.passes import MOST_TOKEN_TYPES, remove_unread

_MASK, _IDS, _TYPES = "attention_mask", "input_ids", "token_type_ids"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lookup:
    """Rows of a table."""

    table: str
    rows: str


def fuse_embeddings(model: onnx.ModelProto) -> int:
    """Make one node of the lookups and of the mask's count; return how many nodes it replaced.

    The layer norm behind them stays a node of its own, reading the sum: it adds in fp32 whatever
    precision the graph has, the fused kernel's own does not in every onnxruntime. 0 where the
    embeddings have another form.
    """
    graph = model.graph
    tables = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    norm = next((node for node in graph.node if node.op_type == "LayerNormalization"), None)
    lookups = _lookups(norm.input[0], makers, tables) if norm is not None else []
    sizes = {each.table: tables[each.table].dims[0] for each in lookups}
    words = [each for each in lookups if each.rows == _IDS]
    types = [
        each for each in lookups if each not in words and sizes[each.table] <= MOST_TOKEN_TYPES
    ]
    places = [each for each in lookups if each not in words and each not in types]
    if norm is None or len(words) != 1 or len(places) != 1 or len(types) > 1:
        return 0
    before = len(graph.node)
    position_ids = "" if _counts_up(places[0].rows, makers, tables) else places[0].rows
    segments = types[0] if types else _Lookup(table="", rows="")
    counts = _mask_count(graph, makers)
    fused = helper.make_node(
        "EmbedLayerNormalization",
        [
            *(_as_int32(graph, name) for name in (_IDS, segments.rows)),
            *(words[0].table, places[0].table, segments.table),
            *norm.input[1:3],
            *(_as_int32(graph, name) for name in (_MASK if counts else "", position_ids)),
        ],
        ["embeddings_normalized", "mask_count", "embeddings_sum"],
        name="embeddings",
        domain="com.microsoft",
    )
    norm.input[0] = "embeddings_sum"
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name in counts:
                node.input[i] = "mask_count"
    graph.node.insert(_first_place(graph, fused), fused)
    remove_unread(model)
    return before - len(graph.node) + 1


def take_int32(model: onnx.ModelProto) -> int:
    """Have the graph take int32 instead of int64: what its kernels read; count the inputs."""
    graph = model.graph
    wide = [i for i in graph.input if i.type.tensor_type.elem_type == TensorProto.INT64]
    for value in wide:
        name, widened = value.name, f"{value.name}_int64"
        casts = [n for n in graph.node if n.op_type == "Cast" and n.input[0] == name]
        others = [n for n in graph.node if name in n.input and n not in casts]
        value.type.tensor_type.elem_type = TensorProto.INT32
        for node in others:
            for i, read in enumerate(node.input):
                if read == name:
                    node.input[i] = widened
        if others:
            graph.node.insert(
                0, helper.make_node("Cast", [name], [widened], name=widened, to=TensorProto.INT64)
            )
        for node in casts:
            _drop_cast(graph, node)
    return len(wide)


def _lookups(
    name: str, makers: dict[str, onnx.NodeProto], tables: dict[str, onnx.TensorProto]
) -> list[_Lookup]:
    """Find the lookups that are summed to the value `name`; none where something else is too."""
    node = makers.get(name)
    if node is None:
        return []
    if node.op_type == "Gather" and node.input[0] in tables:
        return [_Lookup(table=node.input[0], rows=node.input[1])]
    if node.op_type != "Add":
        return []
    parts = [_lookups(part, makers, tables) for part in node.input]
    return [each for part in parts for each in part] if all(parts) else []


def _counts_up(
    name: str, makers: dict[str, onnx.NodeProto], tables: dict[str, onnx.TensorProto]
) -> bool:
    """Tell positions that are 0, 1, 2 … in every row: a slice from the start of such a table."""
    node = makers.get(name)
    if node is None or node.op_type != "Slice" or node.input[0] not in tables:
        return False
    numbers = numpy_helper.to_array(tables[node.input[0]]).ravel()
    start = tables.get(node.input[1])
    if start is None or numpy_helper.to_array(start).any():
        return False
    return bool((numbers == np.arange(len(numbers))).all())


def _mask_count(graph: onnx.GraphProto, makers: dict[str, onnx.NodeProto]) -> set[str]:
    """Find the values that are the number of ones in each row of the mask."""
    found = set()
    for node in graph.node:
        if node.op_type == "ReduceSum":
            cast = makers.get(node.input[0])
            source = cast.input[0] if cast is not None and cast.op_type == "Cast" else node.input[0]
            if source == _MASK:
                found.add(node.output[0])
    return found


def _as_int32(graph: onnx.GraphProto, name: str) -> str:
    """Put a Cast behind the value `name`; nothing for no value."""
    if not name:
        return ""
    cast = helper.make_node(
        "Cast", [name], [f"{name}_int32"], name=f"{name}_int32", to=TensorProto.INT32
    )
    graph.node.insert(_first_place(graph, cast), cast)
    return str(cast.output[0])


def _first_place(graph: onnx.GraphProto, node: onnx.NodeProto) -> int:
    """Find the first place behind all that `node` reads."""
    reads = set(node.input)
    return 1 + max((i for i, n in enumerate(graph.node) if reads & set(n.output)), default=-1)


def _drop_cast(graph: onnx.GraphProto, cast: onnx.NodeProto) -> None:
    """Remove a Cast of what is int32 now to int32."""
    to = next(item.i for item in cast.attribute if item.name == "to")
    if to != TensorProto.INT32:
        return
    for node in graph.node:
        for i, read in enumerate(node.input):
            if read == cast.output[0]:
                node.input[i] = cast.input[0]
    graph.node.remove(cast)
