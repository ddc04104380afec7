from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from bertedge.errors import VerificationError
from bertedge.export.graph.nodes import count_operators
from bertedge.export.quantization.dynamic import (
    quantize_dynamic,
    quantize_embeddings,
    quantize_rows,
)
from bertedge.spec import Task

KINDS = ("bert", "roberta", "distilbert", "electra")
HEADS = (Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.QUESTION_ANSWERING)
"""All others have one of these, or tests of their own."""

Fuse = Callable[..., Any]


def test_a_row_is_off_by_half_a_step_of_its_own_scale() -> None:
    table = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    table[3] *= 1000  # one scale for the whole table would wipe the other rows out
    table[7] = 0
    rows, scales = quantize_rows(table)
    assert rows.dtype == np.int8
    assert scales.shape == (50, 1)
    assert (scales > 0).all()
    assert (np.abs(rows * scales - table) <= scales / 2 * 1.0001).all()
    assert (np.abs(rows).max(axis=1) == np.where(np.arange(50) == 7, 0, 127)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_embedding_rows_stay_close_and_small(kind: str, fused: Fuse) -> None:
    graph = fused(kind)
    model = graph.copy()
    assert quantize_embeddings(model) == 2  # words and positions; token types are too small
    onnx.checker.check_model(model)
    assert graph.off_by(model) < 0.02
    assert graph.off_by(model) > 0
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert sum(kind == onnx.TensorProto.INT8 for kind in kinds.values()) == 2
    assert len(model.SerializeToString()) < len(graph.model.SerializeToString())


def test_a_table_that_is_also_multiplied_stays_in_float(fused: Fuse) -> None:
    model = fused("bert").copy()
    words = next(
        n.input[0]
        for n in model.graph.node
        if n.output[0].endswith("word_embeddings/Gather_output_0")
    )
    model.graph.node.append(onnx.helper.make_node("Transpose", [words], ["tied"]))
    assert quantize_embeddings(model) == 1
    assert words in {tensor.name for tensor in model.graph.initializer}


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_product_becomes_int8(kind: str, task: Task, fused: Fuse, tmp_path: Path) -> None:
    graph = fused(kind, task)
    path = tmp_path / "model.onnx"
    onnx.save(graph.model, path)
    quantized = quantize_dynamic(path, graph.architecture, tmp_path / "quantized")
    counts = count_operators(quantized.model)
    assert counts["QAttention"] == 3
    assert counts["MatMul"] == counts["Gemm"] == counts["Attention"] == 0
    floats = sum(
        numpy_helper.to_array(tensor).size
        for tensor in quantized.model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and len(tensor.dims) == 2
        and tensor.dims[1] > 1
    )
    assert floats <= 2 * 32  # the token types
    sizes = {tensor.name: tuple(tensor.dims) for tensor in quantized.model.graph.initializer}
    weights = [node.input[1] for node in quantized.model.graph.node if node.op_type == "QAttention"]
    assert all(sizes[name.replace("_quantized", "_scale")] == (96,) for name in weights)
    passes = {each.name: each.nodes for each in quantized.passes}
    assert passes == {
        "int8-matrix-products": counts["QAttention"] + counts["MatMulInteger"],
        "int8-embedding-rows": 2,
    }
    assert 0 < graph.off_by(quantized.model) < 0.15


def test_an_attention_left_in_float_is_refused(fused: Fuse, tmp_path: Path) -> None:
    graph = fused("bert")
    path = tmp_path / "model.onnx"
    onnx.save(graph.model, path)
    architecture = type(graph.architecture)(num_hidden_layers=4)
    with pytest.raises(VerificationError, match="3 of 4 Attention nodes"):
        quantize_dynamic(path, architecture, tmp_path / "quantized")
