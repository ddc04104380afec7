from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from bertedge.errors import VerificationError
from bertedge.export.graph.values import array_of, count_operators, save, to_proto
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
    onnx.checker.check_model(to_proto(model))
    assert graph.off_by(model) < 0.02
    assert graph.off_by(model) > 0
    kinds = [value.dtype for value in model.graph.initializers.values()]
    assert kinds.count(ir.DataType.INT8) == 2
    assert to_proto(model).ByteSize() < to_proto(graph.model).ByteSize()


def test_a_table_that_is_also_multiplied_stays_in_float(fused: Fuse) -> None:
    model = fused("bert").copy()
    words = next(
        node.inputs[0]
        for node in model.graph
        if node.outputs[0].name.endswith("word_embeddings/Gather_output_0")
    )
    model.graph.append(ir.node("Transpose", [words]))
    assert quantize_embeddings(model) == 1
    assert words.name in model.graph.initializers


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_product_becomes_int8(kind: str, task: Task, fused: Fuse, tmp_path: Path) -> None:
    graph = fused(kind, task)
    path = tmp_path / "model.onnx"
    save(graph.model, path)
    quantized = quantize_dynamic(path, graph.architecture, tmp_path / "quantized")
    counts = count_operators(quantized.model)
    assert counts["QAttention"] == 3
    assert counts["MatMul"] == counts["Gemm"] == counts["Attention"] == 0
    constants = quantized.model.graph.initializers
    floats = sum(
        array_of(value).size
        for value in constants.values()
        if value.dtype == ir.DataType.FLOAT and len(value.shape) == 2 and value.shape[1] > 1
    )
    assert floats <= 2 * 32  # the token types
    weights = [
        node.inputs[1].name for node in quantized.model.graph if node.op_type == "QAttention"
    ]
    scales = [constants[name.replace("_quantized", "_scale")] for name in weights]
    assert all(tuple(value.shape) == (96,) for value in scales)
    passes = {each.name: each.nodes for each in quantized.passes}
    assert passes == {
        "int8-matrix-products": counts["QAttention"] + counts["MatMulInteger"],
        "int8-embedding-rows": 2,
    }
    assert 0 < graph.off_by(quantized.model) < 0.15


def test_an_attention_left_in_float_is_refused(fused: Fuse, tmp_path: Path) -> None:
    graph = fused("bert")
    path = tmp_path / "model.onnx"
    save(graph.model, path)
    architecture = type(graph.architecture)(num_hidden_layers=4)
    with pytest.raises(VerificationError, match="3 of 4 Attention nodes"):
        quantize_dynamic(path, architecture, tmp_path / "quantized")
