"""A processor without VNNI, told in numpy: pairs of u8 x s8 products are added in 16 bits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from bertedge.bundle import open_bundle
from bertedge.errors import VerificationError
from bertedge.export import ExportReport, Target
from bertedge.runtime.encoding import Batch
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.runtime.verification import check_golden
from bertedge.spec import Task


def erf(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Abramowitz and Stegun 7.1.26, to 1.5e-7."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    powers = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    series = sum(factor * t ** (i + 1) for i, factor in enumerate(powers))
    return (np.sign(x) * (1 - series * np.exp(-(x**2)))).astype(np.float32)


def multiply(a: NDArray[Any], b: NDArray[Any], *, saturating: bool) -> NDArray[np.float64]:
    """Multiply levels `(…, inner)` by `(inner, columns)`; vpmaddubsw saturates each pair."""
    if not saturating:
        return a.astype(np.float64) @ b.astype(np.float64)
    made = np.zeros((*a.shape[:-1], b.shape[1]))
    for i in range(0, a.shape[-1], 2):
        pair = a[..., i : i + 2].astype(np.float64) @ b[i : i + 2].astype(np.float64)
        made += np.clip(pair, -32768, 32767)
    return made


def processor(*, saturating: bool) -> list[type[OpRun]]:
    """Give the products and contrib operators of an int8 graph as numpy computes them."""

    class DynamicQuantizeMatMul(OpRun):
        op_domain = "com.microsoft"

        def _run(self, x, b, scales, b_zero, bias=None):  # type: ignore[no-untyped-def]
            assert not np.any(b_zero)
            low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
            scale = np.float32((high - low) / 255)
            zero = np.clip(np.rint(-low / scale), 0, 255)
            a = np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.uint8)
            made = multiply(a, b, saturating=saturating) - zero * b.sum(0, dtype=np.float64)
            scaled = (made * scale * scales).astype(np.float32)
            return (scaled if bias is None else scaled + bias,)

    class Gelu(OpRun):
        op_domain = "com.microsoft"

        def _run(self, x, approximate="none"):  # type: ignore[no-untyped-def]
            assert approximate == "none"
            return ((x * 0.5 * (1 + erf(x / np.sqrt(2)))).astype(np.float32),)

    class QAttention(OpRun):
        op_domain = "com.microsoft"

        def _run(self, *inputs, num_heads=None, **_):  # type: ignore[no-untyped-def]
            x, w, bias, scale, scales, lengths, zero = inputs[:7]
            levels = multiply(x, w, saturating=saturating)
            levels -= float(zero) * w.sum(0, dtype=np.float64)
            made = (levels * scale * scales + bias).astype(np.float32)
            rows, tokens, _ = x.shape
            parts = made.reshape(rows, tokens, 3, num_heads, -1).transpose(2, 0, 3, 1, 4)
            scores = parts[0] @ parts[1].swapaxes(2, 3) / np.sqrt(parts.shape[-1])
            padding = np.arange(tokens) >= lengths[:, None, None, None]
            scores = np.where(padding, -1e9, scores)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            read = weights / weights.sum(-1, keepdims=True) @ parts[2]
            return (read.transpose(0, 2, 1, 3).reshape(rows, tokens, -1).astype(np.float32),)

    return [DynamicQuantizeMatMul, Gelu, QAttention]


class Simulated:
    """A graph on that processor."""

    def __init__(self, path: Path, *, saturating: bool) -> None:
        operators = processor(saturating=saturating)
        self._graph = ReferenceEvaluator(onnx.load(path), new_ops=operators)

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        feed = {name: getattr(batch, name) for name in self._graph.input_names}
        return np.asarray(self._graph.run(None, feed)[0])


def golden_difference(folder: Path, *, saturating: bool) -> float:
    bundle = open_bundle(folder)
    (variant,) = bundle.manifest.variants
    tokenizer = Tokenizer(bundle.tokenizer_json(), max_length=bundle.manifest.model.max_length)
    engine = Simulated(bundle.path(variant.model), saturating=saturating)
    return check_golden(bundle.manifest, variant, engine, tokenizer)


@pytest.fixture
def quantized(exported: Callable[..., ExportReport]) -> Callable[[Target], Path]:
    task = Task.TEXT_CLASSIFICATION
    return lambda target: (
        exported("bert", task, quantize=True, recipe="dynamic", target=target).output
    )


def test_golden_inputs_catch_a_processor_that_saturates(
    quantized: Callable[[Target], Path],
) -> None:
    bundle = quantized(Target.X86_VNNI)
    assert golden_difference(bundle, saturating=False) < 0.06
    with pytest.raises(VerificationError, match="does not give its recorded answers on this"):
        golden_difference(bundle, saturating=True)


def test_weights_of_seven_bits_never_saturate(quantized: Callable[[Target], Path]) -> None:
    bundle = quantized(Target.X86_AVX2)
    exact = golden_difference(bundle, saturating=False)
    assert golden_difference(bundle, saturating=True) == exact
