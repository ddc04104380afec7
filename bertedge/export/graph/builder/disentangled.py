"""DeBERTa's disentangled attention (He 2021, eq. 4): scores by content, and by distance.

Content to position is `q_i · k_d(i - j)`, position to content `k_j · q_d(i - j)`, with a row of
a table for each bucket of distances. transformers multiplies with every bucket and picks by
index; here each is multiplied with the distances that occur in the batch, and rows are shifted
(Dai 2019, appendix B): no index of `(batch, heads, sequence, sequence)` is made.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bertedge.errors import CheckpointError
from bertedge.export.graph.builder.architecture import Config
from bertedge.export.graph.builder.attention import LOWEST, count_up, each_position, packed
from bertedge.export.graph.builder.writer import Writer
from bertedge.runtime.providers import CPU, Device

_NORMED = "layer_norm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disentangled:
    """What the attentions of all layers share, and what adds one."""

    writer: Writer
    config: Config
    lengths: ir.Value
    falling: ir.Value
    """The buckets of the distances from the length down, `(2 * length,)`."""
    rising: ir.Value
    """Those of the distances from the negative length up."""
    length: ir.Value
    """Of the batch's rows, `(1,)`."""
    cuda: "ForCuda | None"
    """What its kernels need besides."""
    distances: NDArray[np.float32]
    """The embedding of each bucket `(buckets, hidden)`, normed where the model does so."""

    @classmethod
    def prepare(
        cls, writer: Writer, config: Config, ids: ir.Value, lengths: ir.Value, device: Device
    ) -> "Disentangled":
        """Add what all layers share."""
        name, most = "distances", config.positions
        ones = each_position(writer, ids)
        up, down = count_up(writer, ones), count_up(writer, ones, reverse=1)
        behind = writer.add("Sub", [writer.integers(1), up], name)
        distances = writer.add("Concat", [down, behind], name, axis=0)
        table = writer.constant("buckets", buckets(config, np.arange(-most, most + 1)))
        falling, rising = (
            writer.add(
                "Gather",
                [table, writer.add(sign, [writer.integers(most), distances], name)],
                name,
                axis=0,
            )
            for sign in ("Add", "Sub")
        )
        return cls(
            writer=writer,
            config=config,
            lengths=lengths,
            falling=falling,
            rising=rising,
            length=writer.add("ReduceSum", [ones, writer.integers(0)], name),
            cuda=None if device is CPU else ForCuda.prepare(writer, ids, up),
            distances=_distances(writer, config),
        )

    def add(self, hidden: ir.Value, layer: str) -> ir.Value:
        """Add the attention of a layer up to its output projection."""
        writer, config = self.writer, self.config
        name = f"{layer}.attention"
        weight, bias = packed(writer, config, layer)
        product = writer.add("Add", [bias, writer.add("MatMul", [hidden, weight], name)], name)
        query, key, value = writer.parts(product, 3, name)
        kinds = position_kinds(config)
        scale = 1 / math.sqrt(config.hidden // config.heads * (1 + len(kinds)))
        parts = []
        if "c2p" in kinds:
            table = self._table(layer, "key", scale)
            parts.append(self._shifted(query, table, self.falling, f"{name}.c2p"))
        if "p2c" in kinds:
            table = self._table(layer, "query", scale)
            found = self._shifted(key, table, self.rising, f"{name}.p2c")
            parts.append(writer.add("Transpose", [found], f"{name}.p2c", perm=[0, 1, 2, 3, 5, 4]))
        added = writer.add("Add", parts, name) if len(parts) > 1 else parts[0]
        added = writer.add("Squeeze", [added, writer.integers(2, 3)], name)
        return writer.add(
            "ms:MultiHeadAttention",
            [query, key, value, None, self.lengths, added],
            name,
            num_heads=config.heads,
            mask_filter_value=LOWEST,
            scale=scale,
        )

    def _table(self, layer: str, part: str, scale: float) -> ir.Value:
        """Add the projected embeddings of the buckets, scaled, `(buckets, hidden)`."""
        writer, width = self.writer, self.config.hidden
        shared = self.config.get("share_att_key") is True
        own = f"{layer}.attention.self.{'' if shared else 'pos_'}{part}_proj"
        weight = writer.weights.take(f"{own}.weight", width, width)
        bias = writer.weights.take(f"{own}.bias", width)
        table = (self.distances @ weight.T + bias) * np.float32(scale)
        return writer.constant(f"{layer}.attention.positions.{part}", table)

    def _shifted(self, value: ir.Value, table: ir.Value, order: ir.Value, name: str) -> ir.Value:
        """Multiply by the tables of the distances in `order`; column j of row i is i - j or j - i.

        Rows have 2n columns; read as rows of 2n - 1 from the n-th number on, each starts one
        distance later than the one before it. Returns `(batch, heads, 1, 1, n, n)`.
        """
        writer, heads = self.writer, self.config.heads
        size = self.config.hidden // heads
        split = writer.integers(0, 1, 1, -1, heads, size)
        rows = writer.add("Reshape", [value, split], name)
        rows = writer.add("Transpose", [rows], name, perm=[0, 1, 2, 4, 3, 5])
        found = writer.add("Gather", [table, order], name, axis=0)
        found = writer.add("Reshape", [found, writer.integers(0, heads, size)], name)
        found = writer.add("Transpose", [found], name, perm=[1, 2, 0])
        if self.cuda is not None:
            found = writer.add("Add", [found, self.cuda.nothing], name)
        scores = writer.add("MatMul", [rows, found], name)
        # A 0 keeps the size of the same axis: the fifth is n, and no shape has to be computed.
        flat = writer.add("Reshape", [scores, writer.integers(0, heads, 1, -1, 0)], name)
        bounds = (writer.integers(each) for each in (1, 2**62, 3))
        flat = writer.add("Slice", [flat, *bounds], name)
        shifted = writer.add("Reshape", [flat, writer.integers(0, 0, 1, 1, 0, -1)], name)
        if self.cuda is not None:
            return writer.add("Gather", [shifted, self.cuda.columns], name, axis=5)
        begin, axis = writer.integers(0), writer.integers(5)
        return writer.add("Slice", [shifted, begin, self.length, axis], name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForCuda:
    """What CUDA's kernels need where those of the CPU read lengths from memory."""

    columns: ir.Value
    """0, 1, 2 … `(sequence,)`: the first columns of scores, whose number is on the GPU alone."""
    nothing: ir.Value
    """A zero for each row, `(batch, 1, 1, 1, 1, 1)`: added to a table it repeats it.

    A product whose sides have different batches reads addresses from the CPU's memory, which is
    another's when a captured graph is replayed.
    """

    @classmethod
    def prepare(cls, writer: Writer, ids: ir.Value, numbers: ir.Value) -> "ForCuda":
        """Add both; `numbers` are 1, 2 … `(sequence,)`."""
        name = "repeated"
        column = writer.add("Gather", [ids, writer.integers(0, scalar=True)], name, axis=1)
        zeros = writer.add("Sub", [column, column], name)
        floats = writer.add("Cast", [zeros], name, to=ir.DataType.FLOAT.value)
        return cls(
            columns=writer.add("Sub", [numbers, writer.integers(1)], "columns"),
            nothing=writer.add("Reshape", [floats, writer.integers(-1, 1, 1, 1, 1, 1)], name),
        )


def position_kinds(config: Config) -> tuple[str, ...]:
    """Return which of c2p and p2c the config asks for; CheckpointError for others."""
    found = config.get("pos_att_type") or ()
    parts = found.split("|") if isinstance(found, str) else found
    kinds = tuple(map(str, parts)) if isinstance(parts, list | tuple) else ()
    if not kinds or not set(kinds) <= {"c2p", "p2c"}:
        raise CheckpointError(
            f"config.json: pos_att_type is {found!r}; c2p and p2c are what can be built"
        )
    return kinds


def buckets(config: Config, distances: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of the table of each distance: exact near, by logarithm far (DeBERTa-v2)."""
    span = bucket_span(config)
    if config.size("position_buckets", least=-1) > 0:
        middle, most = span // 2, np.float32(_most(config) - 1)
        far = np.where(np.abs(distances) < middle, middle - 1, np.abs(distances))
        share = np.log(far.astype(np.float32) / np.float32(middle)) / np.log(most / middle)
        steps = np.ceil(share.astype(np.float32) * np.float32(middle - 1)) + middle
        near = far <= middle
        distances = np.where(near, distances, steps * np.sign(distances)).astype(np.int64)
    return np.clip(distances + span, 0, 2 * span - 1)


def bucket_span(config: Config) -> int:
    """Return how many buckets there are on either side."""
    own = config.size("position_buckets", least=-1)
    return own if own > 0 else _most(config)


def _most(config: Config) -> int:
    found = config.size("max_relative_positions", least=-1)
    return found if found > 0 else config.positions


def _distances(writer: Writer, config: Config) -> NDArray[np.float32]:
    name, width = f"{config.architecture.prefix}.encoder", config.hidden
    table = writer.weights.take(f"{name}.rel_embeddings.weight", 2 * bucket_span(config), width)
    kinds = str(config.get("norm_rel_ebd") or "none").lower().split("|")
    if _NORMED not in [kind.strip() for kind in kinds]:
        return table
    weight, bias = (
        writer.weights.take(f"{name}.LayerNorm.{part}", width) for part in ("weight", "bias")
    )
    centered = table - table.mean(axis=1, keepdims=True)
    eps = np.float32(config.number("layer_norm_eps"))
    normed = centered / np.sqrt((centered**2).mean(axis=1, keepdims=True) + eps)
    return np.asarray(normed * weight + bias, np.float32)
