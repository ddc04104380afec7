"""Attention as the one node that onnxruntime's kernels have for it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bertedge.export.graph.builder.architecture import AttentionKind, Config
from bertedge.export.graph.builder.writer import Writer

LOWEST = float(np.finfo(np.float32).min)
_PARTS = ("query", "key", "value")


@dataclass(frozen=True, slots=True)
class Attention:
    """What the attentions of all layers share, and what adds one."""

    writer: Writer
    config: Config
    lengths: ir.Value
    """Tokens of each row that are no padding, `(batch,)`, int32."""
    bias: ir.Value | None = None
    """What is added to all scores, `(1, heads, sequence, sequence)`."""

    def add(self, hidden: ir.Value, layer: str) -> ir.Value:
        """Add the attention of a layer up to its output projection."""
        writer, config = self.writer, self.config
        weight, bias = packed(writer, config, layer)
        shared: dict[str, Any] = {"num_heads": config.heads, "mask_filter_value": LOWEST}
        name = f"{layer}.attention"
        if config.architecture.attention is AttentionKind.PLAIN:
            return writer.add("ms:Attention", [hidden, weight, bias, self.lengths], name, **shared)
        # int8 attention takes no bias of scores: the product is a node of its own.
        product = writer.add("MatMul", [hidden, weight], name)
        parts = writer.parts(product, 3, name)
        return writer.add(
            "ms:MultiHeadAttention", [*parts, bias, self.lengths, self.bias], name, **shared
        )


def count_mask(writer: Writer, mask: ir.Value) -> ir.Value:
    """Add how many tokens of each row are no padding, `(batch,)`, int32."""
    integers = writer.add("Cast", [mask], "mask", to=ir.DataType.INT32.value)
    return writer.add("ReduceSum", [integers, writer.integers(1)], "mask", keepdims=0)


def packed(writer: Writer, config: Config, layer: str) -> tuple[ir.Value, ir.Value]:
    """Add the weights and the biases of query, key and value as those of one product."""
    width, names = config.hidden, config.architecture.names
    own = [f"{layer}.{getattr(names, part)}" for part in _PARTS]
    weights = [writer.weights.take(f"{each}.weight", width, width).T for each in own]
    biases = [writer.weights.take(f"{each}.bias", width) for each in own]
    return (
        writer.constant(f"{layer}.attention.qkv.weight", np.concatenate(weights, axis=1)),
        writer.constant(f"{layer}.attention.qkv.bias", np.concatenate(biases)),
    )


def distance_bias(writer: Writer, config: Config, ids: ir.Value) -> ir.Value:
    """Add the bias of scores by the distance of two tokens, `(1, heads, sequence, sequence)`."""
    name = f"{config.architecture.prefix}.encoder.relative_attention_bias"
    config.require("relative_attention_num_buckets", buckets := 32)
    most = config.positions
    table = writer.weights.take(f"{name}.weight", buckets, config.heads)
    distances = np.arange(1 - most, most)
    values = writer.constant(f"{name}.distances", table[distance_buckets(distances, buckets)])
    places = add_distances(writer, ids, most)
    found = writer.add("Gather", [values, places], name, axis=0)
    heads = writer.add("Transpose", [found], name, perm=[2, 0, 1])
    return writer.add("Unsqueeze", [heads, writer.integers(0)], name)


def add_distances(writer: Writer, ids: ir.Value, most: int) -> ir.Value:
    """Add key less query position for each pair of tokens, counted from 1 - `most` as 0."""
    numbers = count_up(writer, each_position(writer, ids))
    keys = writer.add("Add", [numbers, writer.integers(most - 1, scalar=True)], "distances")
    queries = writer.add("Unsqueeze", [numbers, writer.integers(1)], "distances")
    return writer.add("Sub", [keys, queries], "distances")


def each_position(writer: Writer, ids: ir.Value) -> ir.Value:
    """Add a one for each position of the batch's rows, `(sequence,)`.

    Made of values, not of a shape: shapes are computed on the CPU, and what a graph for CUDA
    reads from there cannot be captured.
    """
    row = writer.add("Gather", [ids, writer.integers(0, scalar=True)], "positions", axis=0)
    same = writer.add("Equal", [row, row], "positions")
    return writer.add("Cast", [same], "positions", to=ir.DataType.INT64.value)


def count_up(writer: Writer, ones: ir.Value, *, reverse: int = 0) -> ir.Value:
    """Add 1, 2, 3 … for ones in a row; with `reverse` from the last one on."""
    axis = writer.integers(0, scalar=True)
    return writer.add("CumSum", [ones, axis], "positions", reverse=reverse)


def distance_buckets(distances: NDArray[np.int64], buckets: int) -> NDArray[np.int64]:
    """Return the bucket of each distance (T5, Raffel 2020): exact near, by logarithm far.

    Half of the buckets are for keys before the query, half for those behind it.
    """
    half, most = buckets // 2, 128
    exact = half // 2
    far = np.abs(distances).astype(np.float32)
    scaled = np.log(np.maximum(far, 1) / np.float32(exact)) / np.float32(math.log(most / exact))
    large = exact + (scaled.astype(np.float32) * np.float32(half - exact)).astype(np.int64)
    near = np.where(far < exact, far.astype(np.int64), np.minimum(large, half - 1))
    return np.where(distances > 0, half, 0) + near
