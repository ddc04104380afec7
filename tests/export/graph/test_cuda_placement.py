"""Graphs that the builder writes for CUDA: right in fp32 and fp16, and run by CUDA alone.

No test here needs CUDA: the graphs are run on the CPU, and KERNELS says what runs on CUDA.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import transformers
from transformers import PretrainedConfig

from bertedge.bundle.graph import check_graph
from bertedge.checkpoint import TorchEngine, load_model, open_checkpoint
from bertedge.errors import VerificationError
from bertedge.export import ExportConfig, export, verify
from bertedge.export.graph import cuda, source
from bertedge.export.graph.fp16 import count_half, rounded_twin, to_half
from bertedge.export.graph.fusion import Graph
from bertedge.export.graph.values import array_of, count_operators, save
from bertedge.export.parity_inputs import parity_batches
from bertedge.export.verify import ReferenceLogits, record_logits
from bertedge.runtime.encoding import Batch
from bertedge.runtime.providers import CUDA
from bertedge.spec import Task

FLOATS, INTEGERS = frozenset({"FLOAT", "FLOAT16"}), frozenset({"INT32", "INT64"})
ALL = FLOATS | INTEGERS | {"BOOL"}
KERNELS = {
    **dict.fromkeys(("Cast", "Concat", "Gather", "Identity", "Reshape", "Slice", "Split"), ALL),
    **dict.fromkeys(("Squeeze", "Transpose", "Unsqueeze"), ALL),
    **dict.fromkeys(("Add", "Div", "Mul", "Sub", "Neg", "CumSum", "ReduceSum"), FLOATS | INTEGERS),
    "GlobalMaxPool": FLOATS,
    "Where": FLOATS | INTEGERS,
    "Equal": ALL,
    "Not": {"BOOL"},
    "Clip": FLOATS | {"INT64"},
    **dict.fromkeys(("Gemm", "LayerNormalization", "MatMul", "Relu", "Sqrt", "Tanh"), FLOATS),
    **dict.fromkeys(("Attention", "BiasGelu", "FastGelu", "Gelu", "MultiHeadAttention"), FLOATS),
    **dict.fromkeys(("QuickGelu", "RotaryEmbedding", "SkipLayerNormalization"), FLOATS),
    "EmbedLayerNormalization": FLOATS | {"INT32"},
}
"""The types that onnxruntime registers kernels for CUDA for, of an operator's first input and
its outputs (docs/OperatorKernels.md, CUDAExecutionProvider). None of them gives memory of the CPU.
"""
KINDS = ("mpnet", "deberta-v2", "modernbert", "albert", "xlm-roberta")
LAYERS = 3
needs_nomic = pytest.mark.skipif(
    "nomic_bert" not in transformers.CONFIG_MAPPING, reason="transformers 4 has no NomicBERT"
)


@dataclass(frozen=True, kw_only=True)
class Built:
    """A graph built for CUDA, and what it has to answer."""

    graph: Graph
    architecture: PretrainedConfig
    probe: ReferenceLogits
    work: Path


Build = Callable[..., Built]


@pytest.fixture(scope="module")
def built(checkpoints: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Build:
    @cache
    def make(kind: str, task: Task = Task.TEXT_CLASSIFICATION, **changes: object) -> Built:
        work = tmp_path_factory.mktemp("cuda")
        checkpoint = open_checkpoint(str(checkpoints(kind, task, **changes)), task)
        model, pair = load_model(checkpoint), checkpoint.model.pair
        batches = parity_batches(checkpoint, None, pair=pair)
        assert any(not batch.attention_mask.all() for batch in batches)
        probe = record_logits(TorchEngine(model), [*batches, alone(batches[-1])])
        fused = source.from_weights(checkpoint, model.config, 17)(CUDA)
        graph = cuda.fuse_for_cuda(fused, model.config, work, pair=pair)
        return Built(graph=graph, architecture=model.config, probe=probe, work=work)

    return make


def alone(batch: Batch) -> Batch:
    """Return the longest row of a batch as a batch of its own."""
    row = int(batch.attention_mask.sum(axis=1).argmax())
    length = int(batch.attention_mask[row].sum())
    parts = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
    ids, mask, types = (part[row : row + 1, :length] for part in parts)
    return Batch(input_ids=ids, attention_mask=mask, token_type_ids=types)


def assert_on_cuda(model: ir.Model) -> None:
    """Assert that CUDA's kernels run every node, and read nothing that the CPU computes."""
    for node in model.graph:
        known = KERNELS[node.op_type]
        types = {value.dtype.name for value in (node.inputs[0], *node.outputs) if value.name}
        if node.op_type == "Equal":
            types -= {"BOOL"}
        assert types <= known, f"{node.name}: {types}"
        if node.op_type in cuda.HOST_INPUTS:
            assert all(value is None or value.is_initializer() for value in node.inputs[1:])
        if node.op_type == "Concat":  # of parts as long as each other: else by way of the CPU
            assert len({tuple(value.shape) for value in node.inputs}) == 1, node.name
        if node.op_type == "MatMul" and len(node.inputs[1].shape) > 2:
            left, right = (tuple(value.shape)[:-2] for value in node.inputs)
            assert left == right, f"{node.name}: {left} and {right}"


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("kind", [*KINDS, pytest.param("nomic_bert", marks=needs_nomic)])
def test_a_built_graph_is_exact_and_runs_on_cuda_alone(
    kind: str, task: Task, built: Build, open_graph: Any
) -> None:
    if kind == "nomic_bert" and task in (Task.QUESTION_ANSWERING, Task.MULTIPLE_CHOICE):
        pytest.skip("transformers has no such head")
    one = built(kind, task)
    assert verify.difference(one.probe, open_graph(one.graph.model)) < 1e-5
    assert_on_cuda(one.graph.model)
    counts = count_operators(one.graph.model)
    assert counts["Attention"] + counts["MultiHeadAttention"] == LAYERS
    assert {value.dtype for value in one.graph.model.graph.inputs} == {ir.DataType.INT32}


@pytest.mark.parametrize("kind", [*KINDS, pytest.param("nomic_bert", marks=needs_nomic)])
def test_a_built_graph_in_fp16_runs_on_cuda_alone_and_keeps_parity(
    kind: str, built: Build, open_graph: Any
) -> None:
    one = built(kind)
    half = to_half(one.graph.model, (), one.work)
    assert_on_cuda(half)
    assert count_half(half) >= 6 * LAYERS
    off = verify.difference(one.probe, open_graph(rounded_twin(half)))
    assert 1e-4 < off < verify.FP16_TOLERANCE
    save(half, one.work / "half.onnx")
    check_graph(one.work / "half.onnx", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"pos_att_type": "c2p"},
        {"pos_att_type": "p2c"},
        {"position_buckets": -1, "max_relative_positions": 12},
        {"position_biased_input": True, "type_vocab_size": 2},
    ],
    ids=repr,
)
def test_each_kind_of_distances_in_deberta_runs_on_cuda(
    changes: dict[str, Any], built: Build, open_graph: Any
) -> None:
    one = built("deberta-v2", **changes)
    assert verify.difference(one.probe, open_graph(one.graph.model)) < 1e-5
    assert_on_cuda(one.graph.model)


def test_what_keeps_far_tokens_apart_is_finite_in_fp16_with_scores_added(
    built: Build, open_graph: Any
) -> None:
    one = built("modernbert", local_attention=3)
    half = to_half(one.graph.model, (), one.work)
    (band,) = (v for name, v in half.graph.initializers.items() if name.startswith("band"))
    lowest = array_of(band).min()
    assert np.isfinite(lowest + np.float16(-2e4))
    assert np.exp(np.float32(lowest)) == 0
    assert verify.difference(one.probe, open_graph(rounded_twin(half))) < verify.FP16_TOLERANCE


def test_constants_that_layers_share_are_stored_once_in_fp16(built: Build) -> None:
    sizes = {}
    for layers in (2, 4):
        one = built("albert", num_hidden_layers=layers)
        half = to_half(one.graph.model, (), one.work)
        sizes[layers] = sum(value.const_value.size for value in half.graph.initializers.values())
    assert sizes[2] == sizes[4]


def test_a_bound_that_is_computed_is_refused(built: Build) -> None:
    one = built("mpnet")
    strange = one.graph.model.clone()
    ids = strange.graph.inputs[0]
    length = ir.node("ReduceSum", [ids], {"keepdims": 1})
    strange.graph.append(length)
    strange.graph.append(ir.node("Slice", [ids, length.outputs[0], length.outputs[0]]))
    with pytest.raises(VerificationError, match="still has a computed input of Slice, so it"):
        cuda.check_capturable(strange, one.architecture)


@pytest.mark.parametrize("kind", ["mpnet", "deberta-v2", "modernbert"])
def test_export_gpu_takes_what_optimum_does_not_fuse(
    kind: str, checkpoints: Callable[..., Path], tmp_path: Path
) -> None:
    config = ExportConfig(checkpoint=str(checkpoints(kind)), output=tmp_path / "bundle", gpu=True)
    floats, half = export(config).manifest.variants
    assert (floats.name, half.name) == ("cpu-fp32", "cuda-fp16")
    assert 0 < half.parity.max_difference < half.parity.tolerance
