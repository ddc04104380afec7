"""Attention whose queries and keys are turned by their positions (RoPE, Su 2021)."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bertedge.export.graph.builder.architecture import Config
from bertedge.export.graph.builder.attention import LOWEST
from bertedge.export.graph.builder.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotary:
    """What the attentions of one base of angles share, and what adds one."""

    writer: Writer
    config: Config
    lengths: ir.Value
    """Tokens of each row that are no padding, `(batch,)`, int32."""
    cosines: ir.Value
    """Of each position's angles, `(positions, head size / 2)`."""
    sines: ir.Value

    @classmethod
    def prepare(cls, writer: Writer, config: Config, lengths: ir.Value, base: float) -> "Rotary":
        """Add the angles of a base."""
        size = config.hidden // config.heads
        places = np.arange(config.positions, dtype=np.float32)
        exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
        rates = (1.0 / np.power(np.float32(base), exponents)).astype(np.float32)
        angles: NDArray[np.float32] = np.outer(places, rates).astype(np.float32)
        return cls(
            writer=writer,
            config=config,
            lengths=lengths,
            cosines=writer.constant(f"cosines.{base:g}", np.cos(angles)),
            sines=writer.constant(f"sines.{base:g}", np.sin(angles)),
        )

    def add(self, product: ir.Value, name: str, bias: ir.Value | None = None) -> ir.Value:
        """Add an attention; `product` is query, key and value, `bias` is added to scores."""
        writer, heads = self.writer, self.config.heads
        query, key, value = writer.parts(product, 3, name)
        start = writer.integers(0)
        query, key = (
            writer.add(
                "ms:RotaryEmbedding",
                [each, start, self.cosines, self.sines],
                name,
                num_heads=heads,
            )
            for each in (query, key)
        )
        biases = [] if bias is None else [bias]
        return writer.add(
            "ms:MultiHeadAttention",
            [query, key, value, None, self.lengths, *biases],
            name,
            num_heads=heads,
            mask_filter_value=LOWEST,
        )
