from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bertedge.checkpoint import open_checkpoint
from bertedge.export.graph.nodes import integer
from bertedge.export.quantization.calibration import gather
from bertedge.export.quantization.dynamic import quantize_dynamic
from bertedge.export.quantization.gptq import BLOCK, round_together, round_weights, second_moments
from bertedge.export.quantization.matmuls import find_matmuls, watch

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


@pytest.mark.parametrize("reduced", [False, True])
def test_every_product_errs_less_on_the_texts_and_keeps_its_scales(
    reduced: bool, checkpoints: Any, fused: Fuse, tmp_path: Path
) -> None:
    graph = fused("bert")
    path = tmp_path / "model.onnx"
    onnx.save(graph.model, path)
    quantized = quantize_dynamic(
        path, graph.architecture, tmp_path / "quantized", reduced_range=reduced
    ).model
    texts = gather(open_checkpoint(str(checkpoints("bert"))), None, pair=False)
    before = {each.name: numpy_helper.to_array(each) for each in quantized.graph.initializer}
    done = round_weights(quantized, graph.model, second_moments(graph.copy(), texts))
    onnx.checker.check_model(quantized)
    after = {each.name: numpy_helper.to_array(each) for each in quantized.graph.initializer}
    exact = {each.name: numpy_helper.to_array(each) for each in graph.model.graph.initializer}
    nodes = {node.name: node for node in graph.model.graph.node}
    sites = find_matmuls(graph.model)
    assert (done.name, done.nodes) == ("weights-rounded-together", len(sites))
    read = list(watch(graph.model, [site.source for site in sites], texts.batches()))
    for site in sites:
        inputs = np.concatenate([values[site.source] for values in read])
        transposed = nodes[site.node].op_type == "Gemm" and integer(nodes[site.node], "transB", 0)
        weight = exact[site.weight].T if transposed else exact[site.weight]
        scales = after[f"{site.weight}_scale"]
        np.testing.assert_array_equal(scales, before[f"{site.weight}_scale"])
        nearest, together = (each[f"{site.weight}_quantized"] * scales for each in (before, after))
        assert error(inputs, weight, together) < 0.7 * error(inputs, weight, nearest), site
        assert np.abs(after[f"{site.weight}_quantized"].astype(int)).max() <= (
            64 if reduced else 127
        )
