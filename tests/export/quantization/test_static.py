from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from bertedge.checkpoint import open_checkpoint
from bertedge.errors import VerificationError
from bertedge.export.config import Target, this_machine
from bertedge.export.graph.values import array_of, count_operators, save, to_proto
from bertedge.export.quantization.calibration import METHODS, activation_ranges, gather
from bertedge.export.quantization.dynamic import quantize_dynamic
from bertedge.export.quantization.matmuls import find_matmuls
from bertedge.export.quantization.static import freeze_scales, scale_of
from bertedge.export.verify import batch_variation
from bertedge.spec import Task

HEADS = (Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.QUESTION_ANSWERING)
"""All others have one of these, or tests of their own."""

Fuse = Callable[..., Any]


def quantized(graph: Any, folder: Path, **settings: Any) -> ir.Model:
    path = folder / "model.onnx"
    save(graph.model, path)
    return quantize_dynamic(path, graph.architecture, folder / "quantized", **settings).model


@pytest.mark.parametrize(("low", "high"), [(-0.2, 6.0), (-3.0, 3.0), (0.0, 5.0), (0.0, 0.0)])
def test_a_scale_spreads_the_levels_over_the_range(low: float, high: float) -> None:
    step, offset = scale_of(low, high)
    assert (step.dtype, offset.dtype) == (np.float32, np.uint8)
    values = np.array([low, 0.0, high], np.float32)
    levels = np.clip(np.rint(values / step) + offset, 0, 255)
    np.testing.assert_allclose((levels - offset) * step, values, atol=float(step))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", HEADS)
def test_static_scales_answer_alike_in_every_batch(
    task: Task, method: str, checkpoints: Any, fused: Fuse, open_graph: Any, tmp_path: Path
) -> None:
    graph = fused("bert", task)
    model = quantized(graph, tmp_path)
    assert batch_variation(graph.probe, open_graph(model)) > 1e-4  # dynamic scales do not
    texts = gather(open_checkpoint(str(checkpoints("bert", task))), None, pair=False)
    products = count_operators(model)["MatMulInteger"]
    frozen = freeze_scales(model, activation_ranges(graph.copy(), texts)[method])
    onnx.checker.check_model(to_proto(model))
    counts = count_operators(model)
    assert frozen == counts["QuantizeLinear"] == len(find_matmuls(graph.model))
    assert counts["MatMulIntegerToFloat"] == products
    assert counts["DynamicQuantizeLinear"] == counts["MatMulInteger"] == 0
    engine = open_graph(model)
    assert batch_variation(graph.probe, engine) <= 1e-5
    assert 0 < graph.off_by(model) < 0.3


def test_a_value_that_was_not_calibrated_is_refused(fused: Fuse, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="no range was measured"):
        freeze_scales(quantized(fused("bert"), tmp_path), {})


def test_weights_have_seven_bits_where_products_saturate(fused: Fuse, tmp_path: Path) -> None:
    largest = {}
    for target in (Target.X86_VNNI, Target.X86_AVX2):
        folder = tmp_path / target
        folder.mkdir()
        model = quantized(fused("bert"), folder, reduced_range=target.reduced_range)
        weights = [
            array_of(value).astype(int)
            for name, value in model.graph.initializers.items()
            if name.endswith("_quantized")
        ]
        assert len(weights) == 14
        largest[target] = max(np.abs(weight).max() for weight in weights)
    assert largest[Target.X86_VNNI] == 127
    assert 60 <= largest[Target.X86_AVX2] <= 64


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", {"avx2", "avx512_vnni"}, Target.X86_VNNI),
        ("AMD64", {"avx2", "avx_vnni"}, Target.X86_VNNI),
        ("x86_64", {"avx2"}, Target.X86_AVX2),
        ("AMD64", set(), Target.X86_AVX2),
        ("aarch64", {"asimddp"}, Target.ARM64),
        ("arm64", set(), Target.ARM64),
    ],
)
def test_the_machine_is_told_by_its_flags(
    machine: str, flags: set[str], expected: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertedge.export.config.platform.machine", lambda: machine)
    monkeypatch.setattr("bertedge.export.config.cpu_flags", lambda: frozenset(flags))
    assert this_machine() is expected
