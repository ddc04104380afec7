"""The nodes of an encoder: embeddings, attention, feed-forward."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bertedge.export.graph.builder.architecture import AttentionKind, Config, Positions
from bertedge.export.graph.builder.attention import (
    Attention,
    count_mask,
    distance_bias,
)
from bertedge.export.graph.builder.disentangled import Disentangled
from bertedge.export.graph.builder.modern import ModernLayers
from bertedge.export.graph.builder.nomic import NomicLayers
from bertedge.export.graph.builder.norms import add_norm
from bertedge.export.graph.builder.writer import Writer
from bertedge.runtime.providers import CPU, Device

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


def add_encoder(writer: Writer, config: Config, inputs: Inputs, device: Device) -> ir.Value:
    """Add an encoder, and return its last hidden states `(batch, sequence, hidden)`.

    For CUDA each sum of a residual stream is one node with the norm behind it.
    """
    hidden = add_embeddings(writer, config, inputs)
    lengths = count_mask(writer, inputs.mask)
    if config.architecture.attention is AttentionKind.ROTARY:
        return _add_modern(writer, config, inputs.ids, hidden, lengths)
    if config.architecture.attention is AttentionKind.ROTARY_POST_NORM:
        nomic = NomicLayers.prepare(writer, config, lengths)
        for number in range(config.layers):
            hidden = nomic.add(hidden, layer_name(config, number))
        return hidden
    layers = _Layers(writer, config, skip_norms=device is not CPU)
    attention = _prepare(writer, config, inputs.ids, lengths, device)
    for number in range(config.layers):
        hidden = layers.add(hidden, layer_name(config, number), attention)
    return hidden


def _prepare(
    writer: Writer, config: Config, ids: ir.Value, lengths: ir.Value, device: Device
) -> Attention | Disentangled:
    """Add what the attentions of all layers share."""
    match config.architecture.attention:
        case AttentionKind.DISENTANGLED:
            config.require("relative_attention", True)
            return Disentangled.prepare(writer, config, ids, lengths, device)
        case AttentionKind.DISTANCE_BIAS:
            return Attention(writer, config, lengths, distance_bias(writer, config, ids))
    return Attention(writer, config, lengths)


def _add_modern(
    writer: Writer, config: Config, ids: ir.Value, hidden: ir.Value, lengths: ir.Value
) -> ir.Value:
    layers = ModernLayers.prepare(writer, config, ids, lengths)
    for number in range(config.layers):
        hidden = layers.add(hidden, number)
    return add_norm(
        writer, config, hidden, f"{config.architecture.prefix}.final_norm", config.hidden
    )


def layer_name(config: Config, number: int) -> str:
    """Return the name of the weights of layer `number`; of shared ones those of its group."""
    inner = config.size("inner_group_num")
    block = number // inner
    blocks = config.size("num_hidden_layers", least=0)
    groups = config.size("num_hidden_groups", most=max(blocks, 1))
    group = int(block / (blocks / groups))
    name = config.architecture.layer.format(number=number, group=group, inner=number % inner)
    return f"{config.architecture.prefix}.{name}"


def add_embeddings(writer: Writer, config: Config, inputs: Inputs) -> ir.Value:
    """Add the embeddings of words, types and positions, and the norm of their sum."""
    prefix = config.architecture.prefix
    name = f"{prefix}.embeddings"
    config.require("position_embedding_type", "absolute")
    if config.get("conv_kernel_size"):
        config.require("conv_kernel_size", 0)
    own = config.get("embedding_size") is not None
    width = config.size("embedding_size") if own else config.hidden
    count = config.positions
    own_words = f"{prefix}.{config.architecture.words}"
    words, _ = writer.weights.shape(f"{own_words}.weight")
    table = writer.constant(
        f"{own_words}.weight", writer.weights.take(f"{own_words}.weight", words, width)
    )
    total = writer.add("Gather", [table, inputs.ids], own_words, axis=0)
    kinds = config.size("type_vocab_size", least=0) if config.architecture.token_types else 0
    types = None
    if kinds:
        types = writer.weights.take(f"{name}.token_type_embeddings.weight", kinds, width)
    if inputs.types is not None and types is not None:
        table = writer.constant(f"{name}.token_type_embeddings.weight", types)
        found = writer.add("Gather", [table, inputs.types], f"{name}.token_type_embeddings", axis=0)
        total = writer.add("Add", [total, found], name)
    if config.get("position_biased_input") is not False:
        places = writer.weights.take(f"{name}.position_embeddings.weight", count, width)
        if kinds == 1 and types is not None:  # the same for every token
            places = np.add(places, types)
        table = writer.constant(f"{name}.position_embeddings.weight", places)
        numbers = add_positions(writer, config, inputs.ids, count)
        found = writer.add("Gather", [table, numbers], f"{name}.position_embeddings", axis=0)
        total = writer.add("Add", [total, found], name)
    elif kinds == 1 and types is not None:
        total = writer.add("Add", [total, writer.constant(f"{name}.type", types)], name)
    norm = f"{prefix}.{config.architecture.embeddings_norm}"
    hidden = add_norm(writer, config, total, norm, width)
    if width == config.hidden and not config.architecture.projection.startswith("encoder."):
        return hidden
    return writer.dense(hidden, f"{prefix}.{config.architecture.projection}", width, config.hidden)


def add_positions(writer: Writer, config: Config, ids: ir.Value, count: int) -> ir.Value:
    """Add the numbers of the tokens' positions, `(1, sequence)` or `(batch, sequence)`."""
    name = f"{config.architecture.prefix}.embeddings.positions"
    if config.architecture.positions is Positions.COUNTED:
        numbers = writer.constant(name, np.arange(count, dtype=np.int64)[None])
        shape = writer.add("Shape", [ids], name)
        end = writer.add("Gather", [shape, writer.integers(1)], name, axis=0)
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


@dataclass(frozen=True, slots=True)
class _Layers:
    """What adds the layers of a model whose norms stand behind the sums (BERT)."""

    writer: Writer
    config: Config
    skip_norms: bool

    def add(self, hidden: ir.Value, layer: str, attention: Attention | Disentangled) -> ir.Value:
        """Add a layer."""
        writer, config, names = self.writer, self.config, self.config.architecture.names
        width, inner = config.hidden, config.size("intermediate_size")
        mixed = attention.add(hidden, layer)
        name, norm = f"{layer}.{names.attention_output}", f"{layer}.{names.attention_norm}"
        hidden = self._residual(mixed, hidden, name, norm, width)
        name = f"{layer}.{names.inner}"
        product = writer.add("MatMul", [hidden, writer.matrix(name, width, inner)], name)
        bias = writer.vector(f"{name}.bias", inner)
        raised = writer.activated(product, bias, config.text("hidden_act"), name)
        name, norm = f"{layer}.{names.output}", f"{layer}.{names.output_norm}"
        return self._residual(raised, hidden, name, norm, inner)

    def _residual(
        self, value: ir.Value, stream: ir.Value, name: str, norm: str, rows: int
    ) -> ir.Value:
        """Multiply `value` by `rows`, add the bias and the residual stream, and normalize."""
        writer, width = self.writer, self.config.hidden
        eps = self.config.number("layer_norm_eps")
        product = writer.add("MatMul", [value, writer.matrix(name, rows, width)], name)
        bias = writer.vector(f"{name}.bias", width)
        if self.skip_norms:
            parts = [writer.vector(f"{norm}.{part}", width) for part in ("weight", "bias")]
            return writer.add(
                "ms:SkipLayerNormalization", [product, stream, *parts, bias], norm, epsilon=eps
            )
        total = writer.add("Add", [writer.add("Add", [bias, product], name), stream], name)
        return add_norm(writer, self.config, total, norm, width)
