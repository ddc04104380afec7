"""ModernBERT's layers: norms before, rotated queries and keys, gates, mostly no biases."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bertedge.errors import CheckpointError
from bertedge.export.graph.builder.architecture import Config
from bertedge.export.graph.builder.attention import add_distances
from bertedge.export.graph.builder.norms import add_norm
from bertedge.export.graph.builder.rotary import Rotary
from bertedge.export.graph.builder.writer import Writer

_FAR = -1e4
"""Leaves nothing of a score in the softmax, and is no infinity in fp16 where scores are added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModernLayers:
    """What all layers share, and what adds one."""

    writer: Writer
    config: Config
    local_attention: Rotary
    global_attention: Rotary
    band: ir.Value
    """What local attention adds to scores: nothing near, a very low number far."""

    @classmethod
    def prepare(
        cls, writer: Writer, config: Config, ids: ir.Value, lengths: ir.Value
    ) -> "ModernLayers":
        """Add what all layers share."""
        config.require("rope_scaling", None)
        most = config.positions
        inside = np.abs(np.arange(1 - most, most)) <= config.size("local_attention") // 2
        values = writer.constant("band", np.where(inside, 0, _FAR).astype(np.float32))
        band = writer.add("Gather", [values, add_distances(writer, ids, most)], "band", axis=0)
        local, everywhere = (
            Rotary.prepare(writer, config, lengths, rope_base(config, local=near))
            for near in (True, False)
        )
        return cls(
            writer=writer,
            config=config,
            local_attention=local,
            global_attention=everywhere,
            band=writer.add("Unsqueeze", [band, writer.integers(0, 1)], "band"),
        )

    def add(self, hidden: ir.Value, number: int) -> ir.Value:
        """Add layer `number`."""
        writer, config = self.writer, self.config
        layer, width = f"{config.architecture.prefix}.layers.{number}", config.hidden
        normed = add_norm(writer, config, hidden, f"{layer}.attn_norm", width) if number else hidden
        mixed = self._attention(normed, f"{layer}.attn", local=is_local(config, number))
        output = self._product(mixed, f"{layer}.attn.Wo", width, width, "attention_bias")
        hidden = writer.add("Add", [output, hidden], f"{layer}.attn")
        name, inner = f"{layer}.mlp", config.size("intermediate_size")
        raised = self._product(
            add_norm(writer, config, hidden, f"{layer}.mlp_norm", width),
            f"{name}.Wi",
            width,
            2 * inner,
            "mlp_bias",
        )
        value, gate = writer.parts(raised, 2, name)
        active = writer.activate(value, config.text("hidden_act"), name)
        gated = writer.add("Mul", [active, gate], name)
        lowered = self._product(gated, f"{name}.Wo", inner, width, "mlp_bias")
        return writer.add("Add", [lowered, hidden], name)

    def _attention(self, hidden: ir.Value, name: str, *, local: bool) -> ir.Value:
        width = self.config.hidden
        product = self._product(hidden, f"{name}.Wqkv", width, 3 * width, "attention_bias")
        if local:
            return self.local_attention.add(product, name, self.band)
        return self.global_attention.add(product, name)

    def _product(self, value: ir.Value, name: str, rows: int, columns: int, bias: str) -> ir.Value:
        """Multiply, and add a bias where the config's key `bias` says that there is one."""
        if self.config.get(bias) is True:
            return self.writer.dense(value, name, rows, columns)
        return self.writer.add("MatMul", [value, self.writer.matrix(name, rows, columns)], name)


def is_local(config: Config, number: int) -> bool:
    """Return whether the attention of layer `number` reads near tokens alone."""
    kinds = config.get("layer_types")  # of transformers 5
    if isinstance(kinds, list) and number < len(kinds):
        return bool(kinds[number] == "sliding_attention")
    return number % config.size("global_attn_every_n_layers") != 0


def rope_base(config: Config, *, local: bool) -> float:
    """Return the base of the angles, in the config's words before transformers 5 and since."""
    since = config.get("rope_parameters")
    if isinstance(since, dict):
        own = since.get("sliding_attention" if local else "full_attention")
        found = own.get("rope_theta") if isinstance(own, dict) else None
        if not isinstance(found, int | float):
            raise CheckpointError("config.json: rope_parameters has no rope_theta for each kind")
        return float(found)
    if local and config.values.get("local_rope_theta", "default") is not None:
        return config.number("local_rope_theta")
    return config.number("global_rope_theta")
