from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from transformers import PretrainedConfig

from bertedge.bundle import open_bundle
from bertedge.checkpoint import TorchEngine, load_model, open_checkpoint
from bertedge.errors import SettingError, VerificationError
from bertedge.export import ExportConfig, export, verify
from bertedge.export.graph import cuda
from bertedge.export.graph.embeddings import fuse_embeddings
from bertedge.export.graph.fp16 import count_half, rounded_twin, to_half
from bertedge.export.graph.fusion import Graph, fuse
from bertedge.export.graph.torch_export import export_graph
from bertedge.export.graph.values import add_constant, array_of, count_operators, to_proto
from bertedge.export.parity_inputs import parity_batches
from bertedge.export.verify import ReferenceLogits, difference, record_logits
from bertedge.predictor import Predictor
from bertedge.runtime.buckets import CAPTURE_BYTES, plan_buckets
from bertedge.runtime.cuda import open_cuda
from bertedge.runtime.encoding import Batch
from bertedge.runtime.providers import CPU, CUDA
from bertedge.runtime.session import Session, open_native
from bertedge.spec import Task

KINDS = ("bert", "roberta", "distilbert", "electra")
HEADS = (Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.QUESTION_ANSWERING)
LAYERS = 3
BUCKETS = plan_buckets(64, 32)


@dataclass(frozen=True, kw_only=True)
class CudaGraph:
    """A graph fused for CUDA, and what it has to answer."""

    graph: Graph
    architecture: PretrainedConfig
    probe: ReferenceLogits
    work: Path

    def off_by(self, model: ir.Model) -> float:
        graph = to_proto(model, shapes=False).SerializeToString()
        native = open_native(graph, device=CPU, threads=1)
        return difference(self.probe, Session(native, "test.onnx"))


Make = Callable[..., CudaGraph]


@pytest.fixture(scope="module")
def made(checkpoints: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Make:
    @cache
    def make(kind: str, task: Task = Task.TEXT_CLASSIFICATION, *, pair: bool = False) -> CudaGraph:
        work = tmp_path_factory.mktemp("cuda")
        checkpoint = open_checkpoint(str(checkpoints(kind, task)), task)
        model = load_model(checkpoint)
        probe = record_logits(TorchEngine(model), parity_batches(checkpoint, None, pair=pair))
        path = export_graph(model, work / "exported", task=task, opset=17)
        fused = fuse(path, model.config, work / "cuda", CUDA)
        graph = cuda.fuse_for_cuda(fused, model.config, work, pair=pair)
        return CudaGraph(graph=graph, architecture=model.config, probe=probe, work=work)

    return make


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_for_cuda_is_exact_and_computes_no_shapes(
    kind: str, task: Task, made: Make
) -> None:
    one = made(kind, task)
    assert one.off_by(one.graph.model) < 1e-5
    counts = count_operators(one.graph.model)
    assert counts["Attention"] == LAYERS
    assert counts["SkipLayerNormalization"] == 2 * LAYERS
    assert counts["EmbedLayerNormalization"] == 1
    own = {
        Task.TEXT_CLASSIFICATION: "Slice",
        Task.MULTIPLE_CHOICE: "Slice",
        Task.FEATURE_EXTRACTION: "Unsqueeze",
    }
    assert not set(counts) & {*cuda.HOST_OPERATORS, "Slice", "Unsqueeze"} - {
        own.get(task, "")  # that of position 0, that of the mask in the mean
    }
    assert {value.dtype for value in one.graph.model.graph.inputs} == {ir.DataType.INT32}


def test_the_last_layer_is_narrowed_through_its_fused_layer_norms(made: Make) -> None:
    passes = {each.name: each.nodes for each in made("bert").graph.passes}
    assert passes["cls-only-last-layer"] == 6  # 3 products, BiasGelu and 2 norms with their sums
    tokens = {each.name for each in made("bert", Task.TOKEN_CLASSIFICATION).graph.passes}
    assert "cls-only-last-layer" not in tokens


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_pairs_keep_their_token_types(kind: str, made: Make) -> None:
    one = made(kind, pair=True)
    names = {value.name for value in one.graph.model.graph.inputs}
    assert ("token_type_ids" in names) == (kind == "bert")
    assert one.off_by(one.graph.model) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_nodes_that_become_the_embeddings_node_are_counted(
    kind: str, fused: Callable[..., Any]
) -> None:
    model = fused(kind).copy()
    before = list(model.graph)
    count = fuse_embeddings(model)
    gone = [node.op_type for node in before if node.graph is None]
    assert count == len(gone)
    assert gone.count("Gather") >= 2 and "Add" in gone and "ReduceSum" in gone


def test_embeddings_of_another_form_are_an_error_that_says_so(made: Make) -> None:
    one = made("bert")
    strange = one.graph.model.clone()
    strange.graph.append(ir.node("Shape", [strange.graph.inputs[0]]))
    with pytest.raises(VerificationError, match="still has Shape, so it cannot be captured"):
        cuda.check_capturable(strange, one.architecture)


@pytest.mark.parametrize("kind", KINDS)
def test_fp16_halves_the_weights_and_stays_within_its_tolerance(kind: str, made: Make) -> None:
    one = made(kind)
    half = to_half(one.graph.model, (), one.work)
    twin = rounded_twin(half)
    assert to_proto(half).ByteSize() < 0.65 * to_proto(one.graph.model).ByteSize()
    assert count_half(half) >= 6 * LAYERS
    # The rounding is there (an exact graph is off by 1e-6), and no larger than fp16's.
    assert 1e-4 < one.off_by(twin) < verify.FP16_TOLERANCE
    assert one.off_by(half) < verify.FP16_TOLERANCE


def test_the_twin_stores_nothing_that_fp16_cannot(made: Make) -> None:
    one = made("bert")
    twin = rounded_twin(to_half(one.graph.model, (), one.work))
    for values in map(array_of, twin.graph.initializers.values()):
        if values.dtype == np.float32:
            np.testing.assert_array_equal(values.astype(np.float16).astype(np.float32), values)
    attention = next(node for node in twin.graph if node.op_type == "Attention")
    (down,) = attention.outputs[0].consumers()
    (back,) = down.outputs[0].consumers()
    watched = [back.outputs[0], attention.outputs[0]]
    for value in watched:
        value.type = ir.TensorType(ir.DataType.FLOAT)
        twin.graph.outputs.append(value)
    graph = to_proto(twin, shapes=False).SerializeToString()
    native = open_native(graph, device=CPU, threads=1)
    batch = one.probe.batches[0]
    feed = {i.name: getattr(batch, i.name).astype(np.int32) for i in native.get_inputs()}
    after, before = native.run([value.name for value in watched], feed)
    np.testing.assert_array_equal(after, before.astype(np.float16).astype(np.float32))
    assert (after != before).any()


def test_a_value_beyond_fp16_is_found_out(made: Make) -> None:
    one = made("bert")
    loud = one.graph.model.clone()
    inner = next(node for node in loud.graph if node.op_type == "BiasGelu")
    bias = np.full_like(array_of(inner.inputs[1]), 7e4)
    inner.replace_input_with(1, add_constant(loud.graph, "loud", bias))
    twin = rounded_twin(to_half(loud, (), one.work))
    assert not one.off_by(twin) <= verify.FP16_TOLERANCE


def test_operators_go_back_to_fp32_only_where_parity_asks_for_it(
    made: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made("bert")
    halves = [to_half(one.graph.model, floats, one.work) for floats in cuda.FLOATS]
    off = [one.off_by(rounded_twin(half)) for half in halves]
    names = [
        each.name for each in cuda.keep_parity(one.graph, one.probe, one.work / "half.onnx")[0]
    ]
    assert names[-1] == "fp16"
    assert off[1] < off[0]
    monkeypatch.setattr(verify, "FP16_TOLERANCE", (off[0] + off[1]) / 2)
    passes = cuda.keep_parity(one.graph, one.probe, one.work / "half.onnx")[0]
    assert passes[-1].name == "fp32 for LayerNormalization, SkipLayerNormalization"
    assert passes[-1].nodes == 2 * LAYERS + 1


def test_export_gpu_adds_a_proven_variant(checkpoints: Callable[..., Path], tmp_path: Path) -> None:
    config = ExportConfig(checkpoint=str(checkpoints("bert")), output=tmp_path / "bundle", gpu=True)
    report = export(config)
    floats, half = open_bundle(report.output).manifest.variants
    assert (floats.name, half.name) == ("cpu-fp32", "cuda-fp16")
    assert half.precision == "fp16"
    assert half.providers == ("CUDAExecutionProvider",)
    assert half.checked_on in ("CPUExecutionProvider", "CUDAExecutionProvider")
    assert floats.checked_on is None
    assert half.parity.tolerance == verify.FP16_TOLERANCE
    assert 0 < half.parity.max_difference < half.parity.tolerance
    assert Predictor.open(report.output, device="cpu").variant.name == "cpu-fp32"
    with pytest.raises(SettingError, match=r"cuda-fp16 .* is not made for device cpu"):
        Predictor.open(report.output, device="cpu", variant="cuda-fp16")


def test_fp16_that_does_not_keep_parity_is_an_error_and_leaves_nothing(
    checkpoints: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "FP16_TOLERANCE", 1e-7)
    config = ExportConfig(checkpoint=str(checkpoints("bert")), output=tmp_path / "bundle", gpu=True)
    with pytest.raises(VerificationError, match=r"cuda-fp16 does not give .* leave --gpu out"):
        export(config)
    assert not config.output.exists()


@pytest.fixture(scope="module")
def half_graph(
    checkpoints: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Task], Path]:
    """Export (once) a checkpoint with its variant for CUDA; give the bundle."""

    @cache
    def make(kind: str, task: Task) -> Path:
        output = tmp_path_factory.mktemp("gpu") / "bundle"
        export(ExportConfig(checkpoint=str(checkpoints(kind, task)), output=output, gpu=True))
        return output

    return make


def random_batch(rows: int, length: int, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    mask = (np.arange(length) < rng.integers(2, length + 1, (rows, 1))).astype(np.int64)
    ids = rng.integers(5, 40, (rows, length)) * mask
    return Batch(input_ids=ids, attention_mask=mask, token_type_ids=np.zeros_like(ids))


def assert_same(found: np.ndarray, expected: np.ndarray, given: Batch) -> None:
    """Compare what is no padding; kernels differ with the shape, in the last bits of fp16."""
    real = given.attention_mask.astype(bool) if expected.ndim == 3 else slice(None)
    spread = float(np.ptp(expected))
    np.testing.assert_allclose(found[real], expected[real], atol=verify.FP16_TOLERANCE * spread)


@pytest.mark.gpu
@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_on_cuda_the_variant_keeps_parity_captured_and_not(
    kind: str, task: Task, checkpoints: Callable[..., Path], half_graph: Callable[..., Path]
) -> None:
    bundle = half_graph(kind, task)
    assert open_bundle(bundle).manifest.variants[-1].checked_on == "CUDAExecutionProvider"
    predictor = Predictor.open(bundle, device="cuda")
    assert predictor.engine.providers[0] == "CUDAExecutionProvider"
    assert predictor.variant.name == "cuda-fp16"
    checkpoint = open_checkpoint(str(checkpoints(kind, task)))
    probe = record_logits(
        TorchEngine(load_model(checkpoint)), parity_batches(checkpoint, None, pair=False)
    )
    assert difference(probe, predictor.engine) < verify.FP16_TOLERANCE
    assert difference(probe, open_cuda(bundle / "cuda-fp16.onnx")) < verify.FP16_TOLERANCE


@pytest.mark.gpu
@pytest.mark.parametrize("task", HEADS)
def test_on_cuda_captured_answers_equal_uncaptured_ones(
    task: Task, half_graph: Callable[..., Path]
) -> None:
    graph = half_graph("bert", task) / "cuda-fp16.onnx"
    captured, loose = open_cuda(graph, buckets=BUCKETS), open_cuda(graph)
    assert captured.captured == BUCKETS
    shapes = [(1, 16), (3, 20), (31, 31), (1, 16), (50, 7), (1, 64)]
    for seed, (rows, length) in enumerate(shapes):
        given = random_batch(rows, length, seed)
        assert_same(captured.logits(given), loose.logits(given), given)


@pytest.mark.gpu
def test_on_cuda_threads_share_the_captured_graphs(half_graph: Callable[..., Path]) -> None:
    graph = half_graph("bert", Task.TEXT_CLASSIFICATION) / "cuda-fp16.onnx"
    session = open_cuda(graph, buckets=BUCKETS)
    given = [random_batch(1 + seed % 5, 8 + seed % 20, seed) for seed in range(40)]
    expected = [session.logits(one) for one in given]
    with ThreadPoolExecutor(4) as pool:
        for answer, alone in zip(pool.map(session.logits, given), expected, strict=True):
            np.testing.assert_array_equal(answer, alone)


@pytest.mark.gpu
def test_on_cuda_capturing_stays_within_the_cap(half_graph: Callable[..., Path]) -> None:
    graph = half_graph("bert", Task.TEXT_CLASSIFICATION) / "cuda-fp16.onnx"
    session = open_cuda(graph, buckets=BUCKETS[:1])
    session.logits(random_batch(1, 16, 0))
    before, _ = torch.cuda.mem_get_info()
    session.capture(BUCKETS[1:])
    after, _ = torch.cuda.mem_get_info()
    assert session.captured == BUCKETS
    assert before - after <= CAPTURE_BYTES
