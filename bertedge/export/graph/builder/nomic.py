"""NomicBERT's layers: rotated queries and keys, gates, norms behind the sums, no biases."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bertedge.errors import CheckpointError
from bertedge.export.graph.builder.architecture import Config
from bertedge.export.graph.builder.norms import add_norm
from bertedge.export.graph.builder.rotary import Rotary
from bertedge.export.graph.builder.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class NomicLayers:
    """What all layers share, and what adds one."""

    writer: Writer
    config: Config
    attention: Rotary

    @classmethod
    def prepare(cls, writer: Writer, config: Config, lengths: ir.Value) -> "NomicLayers":
        """Add what all layers share."""
        found = config.get("rope_parameters")
        told = found if isinstance(found, dict) else {}
        base = told.get("rope_theta", 1000.0)
        if told.get("rope_type", "default") != "default" or not isinstance(base, int | float):
            raise CheckpointError(
                "config.json: rope_parameters must have the rope_type 'default' and a rope_theta"
            )
        if config.get("head_dim") is not None:
            config.require("head_dim", config.hidden // config.heads)
        rotary = Rotary.prepare(writer, config, lengths, float(base))
        return cls(writer=writer, config=config, attention=rotary)

    def add(self, hidden: ir.Value, layer: str) -> ir.Value:
        """Add a layer."""
        writer, width, inner = (
            self.writer,
            self.config.hidden,
            self.config.size("intermediate_size"),
        )
        name = f"{layer}.attn"
        mixed = self.attention.add(self._product(hidden, f"{name}.Wqkv", width, 3 * width), name)
        output = self._product(mixed, f"{name}.out_proj", width, width)
        hidden = self._normed(output, hidden, f"{layer}.norm1")
        name = f"{layer}.mlp"
        raised = writer.add("MatMul", [hidden, self._gate(name, width, inner)], name)
        gate, value = writer.parts(raised, 2, name)
        active = writer.activate(gate, self.config.text("hidden_act"), name)
        gated = writer.add("Mul", [active, value], name)
        return self._normed(
            self._product(gated, f"{name}.fc2", inner, width), hidden, f"{layer}.norm2"
        )

    def _product(self, value: ir.Value, name: str, rows: int, columns: int) -> ir.Value:
        return self.writer.add("MatMul", [value, self.writer.matrix(name, rows, columns)], name)

    def _gate(self, name: str, rows: int, columns: int) -> ir.Value:
        """Add the weights of the gate and of what it lets through as those of one product."""
        take = self.writer.weights.take
        parts = [take(f"{name}.{part}.weight", columns, rows).T for part in ("fc12", "fc11")]
        return self.writer.constant(f"{name}.gate", np.concatenate(parts, axis=1))

    def _normed(self, value: ir.Value, stream: ir.Value, name: str) -> ir.Value:
        total = self.writer.add("Add", [value, stream], name)
        return add_norm(self.writer, self.config, total, name, self.config.hidden)
