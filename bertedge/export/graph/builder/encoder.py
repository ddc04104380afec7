"""The nodes of an encoder: embeddings, attention, feed-forward."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bertedge.export.graph.builder.architecture import AttentionKind, Config, Positions
from bertedge.export.graph.builder.attention import Attention, distance_bias, row_length
from bertedge.export.graph.builder.writer import Writer

INT32, FLOAT = ir.DataType.INT32.value, ir.DataType.FLOAT.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a graph takes, each `(batch, sequence)`."""

    ids: ir.Value
    mask: ir.Value
    types: ir.Value | None
    """None where the model has one type of tokens, or none."""


def add_inputs(writer: Writer, config: Config) -> Inputs:
    """Add the inputs that a model reads."""
    types = config.architecture.token_types and config.size("type_vocab_size", least=0) > 1
    return Inputs(
        ids=writer.input("input_ids"),
        mask=writer.input("attention_mask"),
        types=writer.input("token_type_ids") if types else None,
    )


def add_encoder(writer: Writer, config: Config, inputs: Inputs, *, skip_norms: bool) -> ir.Value:
    """Add an encoder, and return its last hidden states `(batch, sequence, hidden)`.

    With `skip_norms` each sum of a residual stream is one node with the norm behind it.
    """
    layers = _Layers(writer, config, skip_norms)
    hidden = add_embeddings(writer, config, inputs)
    attention = Attention.prepare(writer, config, inputs.mask)
    if config.architecture.attention is AttentionKind.DISTANCE_BIAS:
        attention = attention.with_bias(distance_bias(writer, config, inputs.ids))
    for number in range(config.layers):
        hidden = layers.add(hidden, layer_name(config, number), attention)
    return hidden


def layer_name(config: Config, number: int) -> str:
    """Return the name of the weights of layer `number`; of shared ones those of its group."""
    inner = config.size("inner_group_num")
    block = number // inner
    groups, blocks = config.size("num_hidden_groups"), config.size("num_hidden_layers", least=0)
    group = int(block / (blocks / groups))
    name = config.architecture.layer.format(number=number, group=group, inner=number % inner)
    return f"{config.architecture.prefix}.{name}"


def add_embeddings(writer: Writer, config: Config, inputs: Inputs) -> ir.Value:
    """Add the embeddings of words, types and positions, and the norm of their sum."""
    name = f"{config.architecture.prefix}.embeddings"
    config.require("position_embedding_type", "absolute")
    own = config.get("embedding_size") is not None
    width = config.size("embedding_size") if own else config.hidden
    count = config.size("max_position_embeddings")
    words, _ = writer.weights.shape(f"{name}.word_embeddings.weight")
    table = writer.constant(
        f"{name}.word_embeddings.weight",
        writer.weights.take(f"{name}.word_embeddings.weight", words, width),
    )
    places = writer.weights.take(f"{name}.position_embeddings.weight", count, width)
    kinds = config.size("type_vocab_size", least=0) if config.architecture.token_types else 0
    types_name = f"{name}.token_type_embeddings.weight"
    if kinds == 1:  # the same for every token
        places = places + writer.weights.take(types_name, 1, width)
    total = writer.add("Gather", [table, inputs.ids], f"{name}.word_embeddings", axis=0)
    if inputs.types is not None:
        types = writer.constant(types_name, writer.weights.take(types_name, kinds, width))
        found = writer.add("Gather", [types, inputs.types], f"{name}.token_type_embeddings", axis=0)
        total = writer.add("Add", [total, found], name)
    position = writer.add(
        "Gather",
        [
            writer.constant(f"{name}.position_embeddings.weight", places),
            add_positions(writer, config, inputs.ids, count),
        ],
        f"{name}.position_embeddings",
        axis=0,
    )
    total = writer.add("Add", [total, position], name)
    eps = config.number("layer_norm_eps")
    hidden = writer.norm(total, f"{name}.LayerNorm", width, eps)
    if width == config.hidden and not config.architecture.projection.startswith("encoder."):
        return hidden
    projection = f"{config.architecture.prefix}.{config.architecture.projection}"
    return writer.dense(hidden, projection, width, config.hidden)


def add_positions(writer: Writer, config: Config, ids: ir.Value, count: int) -> ir.Value:
    """Add the numbers of the tokens' positions, `(1, sequence)` or `(batch, sequence)`."""
    name = f"{config.architecture.prefix}.embeddings.positions"
    if config.architecture.positions is Positions.COUNTED:
        numbers = writer.constant(name, np.arange(count, dtype=np.int64)[None])
        end = sequence_length(writer, ids)
        begin, axis, step = writer.integers(0), writer.integers(1), writer.integers(1)
        return writer.add("Slice", [numbers, begin, end, axis, step], name)
    padding = writer.integers(config.size("pad_token_id", least=0), scalar=True)
    real = writer.add("Not", [writer.add("Equal", [ids, padding], name)], name)
    ones = writer.add("Cast", [real], name, to=INT32)
    axis = writer.constant("int32:1", np.array(1, np.int32))
    counted = writer.add("CumSum", [ones, axis], name)
    places = writer.add("Mul", [counted, ones], name)
    wide = writer.add("Cast", [places], name, to=ir.DataType.INT64.value)
    return writer.add("Add", [wide, padding], name)


def sequence_length(writer: Writer, ids: ir.Value) -> ir.Value:
    """Add the length of the batch's rows, `(1,)`."""
    return writer.add("Unsqueeze", [row_length(writer, ids), writer.integers(0)], "row_length")


@dataclass(frozen=True, slots=True)
class _Layers:
    """What adds the layers of a model whose norms stand behind the sums (BERT)."""

    writer: Writer
    config: Config
    skip_norms: bool

    def add(self, hidden: ir.Value, layer: str, attention: Attention) -> ir.Value:
        """Add a layer."""
        writer, config, names = self.writer, self.config, self.config.architecture.names
        width, inner = config.hidden, config.size("intermediate_size")
        mixed = attention.add(hidden, layer)
        hidden = self._residual(
            mixed, hidden, f"{layer}.{names.attention_output}", f"{layer}.{names.attention_norm}"
        )
        name = f"{layer}.{names.inner}"
        product = writer.add("MatMul", [hidden, writer.matrix(name, width, inner)], name)
        bias = writer.vector(f"{name}.bias", inner)
        raised = writer.activated(product, bias, config.text("hidden_act"), name)
        return self._residual(
            raised, hidden, f"{layer}.{names.output}", f"{layer}.{names.output_norm}"
        )

    def _residual(self, value: ir.Value, stream: ir.Value, name: str, norm: str) -> ir.Value:
        """Multiply `value`, add the bias and the residual stream, and normalize the sum."""
        writer, width = self.writer, self.config.hidden
        eps = self.config.number("layer_norm_eps")
        rows = (
            width
            if name.endswith(self.config.architecture.names.attention_output)
            else (self.config.size("intermediate_size"))
        )
        product = writer.add("MatMul", [value, writer.matrix(name, rows, width)], name)
        bias = writer.vector(f"{name}.bias", width)
        if self.skip_norms:
            parts = [writer.vector(f"{norm}.{part}", width) for part in ("weight", "bias")]
            return writer.add(
                "ms:SkipLayerNormalization", [product, stream, *parts, bias], norm, epsilon=eps
            )
        total = writer.add("Add", [writer.add("Add", [bias, product], name), stream], name)
        return writer.norm(total, norm, width, eps)
