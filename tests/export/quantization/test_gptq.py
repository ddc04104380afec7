from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from bertedge.checkpoint import open_checkpoint
from bertedge.export.graph.values import array_of, save, to_proto
from bertedge.export.quantization.calibration import gather
from bertedge.export.quantization.dynamic import quantize_dynamic
from bertedge.export.quantization.gptq import BLOCK, round_together, round_weights, second_moments
from bertedge.export.quantization.matmuls import find_matmuls, watch_inputs

Fuse = Callable[..., Any]


def product(limit: int = 127) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give inputs whose channels move together, a weight, and the scales of its columns."""
    random = np.random.default_rng(0)
    inner = 2 * BLOCK + 5
    inputs = random.normal(size=(2000, 8)) @ random.normal(size=(8, inner))
    inputs = (inputs + 0.1 * random.normal(size=inputs.shape)).astype(np.float32)
    weight = random.normal(size=(inner, 12)).astype(np.float32)
    return inputs, weight, np.abs(weight).max(axis=0) / limit


def error(inputs: np.ndarray, weight: np.ndarray, rounded: np.ndarray) -> float:
    return float(np.mean((inputs @ (rounded - weight)) ** 2))


def test_errors_of_channels_that_move_together_cancel() -> None:
    inputs, weight, scales = product()
    nearest = np.rint(weight / scales) * scales
    levels = round_together(weight, scales, inputs.T @ inputs, 127)
    assert levels.dtype == np.int8
    assert error(inputs, weight, levels * scales) < 0.2 * error(inputs, weight, nearest)


def test_channels_that_have_nothing_to_do_with_each_other_are_rounded_to_the_nearest() -> None:
    _, weight, scales = product()
    moments = np.diag(np.arange(len(weight))).astype(np.float32)  # the first never occurs
    levels = round_together(weight, scales, moments, 127)
    np.testing.assert_array_equal(levels, np.rint(weight / scales))


def test_levels_stay_within_the_limit() -> None:
    inputs, weight, scales = product(limit=20)
    levels = round_together(weight, scales, inputs.T @ inputs, 20)
    assert np.abs(levels.astype(int)).max() == 20


def constants_of(model: ir.Model) -> dict[str, np.ndarray]:
    return {name: array_of(value) for name, value in model.graph.initializers.items()}


@pytest.mark.parametrize("reduced", [False, True])
def test_every_product_errs_less_on_the_texts_and_keeps_its_scales(
    reduced: bool, checkpoints: Any, fused: Fuse, tmp_path: Path
) -> None:
    graph = fused("bert")
    path = tmp_path / "model.onnx"
    save(graph.model, path)
    quantized = quantize_dynamic(
        path, graph.architecture, tmp_path / "quantized", reduced_range=reduced
    ).model
    texts = gather(open_checkpoint(str(checkpoints("bert"))), None, pair=False)
    before = constants_of(quantized)
    done = round_weights(quantized, graph.model, second_moments(graph.copy(), texts))
    onnx.checker.check_model(to_proto(quantized))
    after = constants_of(quantized)
    products = find_matmuls(graph.model)
    assert (done.name, done.nodes) == ("weights-rounded-together", len(products))
    read = list(watch_inputs(graph.model, texts.batches()))
    for node in products:
        source, kernel, *_ = node.inputs
        inputs = np.concatenate([values[source.name] for values in read])
        transposed = node.op_type == "Gemm" and node.attributes.get_int("transB", 0)
        weight = array_of(kernel).T if transposed else array_of(kernel)
        scales = after[f"{kernel.name}_scale"]
        np.testing.assert_array_equal(scales, before[f"{kernel.name}_scale"])
        nearest, together = (each[f"{kernel.name}_quantized"] * scales for each in (before, after))
        assert error(inputs, weight, together) < 0.7 * error(inputs, weight, nearest), node.name
        assert np.abs(after[f"{kernel.name}_quantized"].astype(int)).max() <= (
            64 if reduced else 127
        )
