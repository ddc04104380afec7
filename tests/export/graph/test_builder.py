"""The graph that is built from the weights: the checkpoint's logits, and Optimum's nodes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from bertedge.bundle import open_bundle
from bertedge.bundle.graph import check_graph
from bertedge.checkpoint import TorchEngine, load_model, open_base, open_checkpoint
from bertedge.errors import CheckpointError, MissingExtraError, SettingError
from bertedge.export import ExportConfig, export
from bertedge.export.config import Exporter
from bertedge.export.graph import source
from bertedge.export.graph.builder import ARCHITECTURES, build, disentangled
from bertedge.export.graph.builder.architecture import Config
from bertedge.export.graph.builder.attention import distance_buckets
from bertedge.export.graph.fusion import fuse, infer_shapes
from bertedge.export.graph.torch_export import export_graph
from bertedge.export.graph.values import count_operators, save
from bertedge.export.parity_inputs import parity_batches
from bertedge.export.quantization.dynamic import quantize_by_onnxruntime, quantize_dynamic
from bertedge.export.verify import difference, record_logits
from bertedge.libraries import has_optimum, has_transformers_4
from bertedge.predictor import Predictor
from bertedge.runtime.encoding import Batch
from bertedge.runtime.providers import CPU, CUDA
from bertedge.spec import PoolingMode, Task

OPTIMUM = source.OPTIMUM_FUSES
OTHERS = ("xlm-roberta", "camembert", "mpnet", "albert", "deberta-v2", "modernbert")
LAYERS = 3
FUSED = (
    *("Attention", "MultiHeadAttention", "BiasGelu", "Gelu", "FastGelu"),
    *("LayerNormalization", "SkipLayerNormalization", "MatMul", "Gemm"),
)
TEXTS = ["anna met the hotel in berlin", "no", "not very good, the plot: bad!"]

Fuse = Callable[..., Any]
needs_optimum = pytest.mark.skipif(not has_optimum(), reason="needs the optimum extra")


@pytest.fixture(scope="session")
def off_by(
    checkpoints: Callable[..., Path],
    open_graph: Callable[[ir.Model], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., tuple[float, ir.Model]]:
    """Build a checkpoint's graph; give how far it is from PyTorch on padded batches, and itself."""

    def measure(
        folder: Path, task: Task, *, opset: int = 17, pooling: PoolingMode | None = None
    ) -> tuple[float, ir.Model]:
        checkpoint = open_checkpoint(str(folder), task, pooling=pooling)
        batches = parity_batches(checkpoint, None, pair=checkpoint.model.pair)
        assert any(not batch.attention_mask.all() for batch in batches)
        probe = record_logits(TorchEngine(load_model(checkpoint)), batches)
        model = build(folder, checkpoint.model, opset=opset)
        inferred = infer_shapes(model, tmp_path_factory.mktemp("built"))
        assert all(value.dtype is not None for node in inferred.graph for value in node.outputs)
        return difference(probe, open_graph(inferred)), inferred

    return measure


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("kind", [*OPTIMUM, *OTHERS])
def test_the_graph_gives_the_checkpoints_logits_with_every_attention_in_one_node(
    kind: str, task: Task, checkpoints: Any, off_by: Any
) -> None:
    off, model = off_by(checkpoints(kind, task), task)
    assert off < 1e-5
    counts = count_operators(model)
    assert counts["Attention"] + counts["MultiHeadAttention"] == LAYERS
    assert counts["Softmax"] == counts["Erf"] == 0
    assert model.graph.outputs[0].name == "logits"


@needs_optimum
@pytest.mark.parametrize("kind", OPTIMUM)
def test_it_agrees_with_optimums_graph_and_has_the_same_fused_nodes(
    kind: str, checkpoints: Any, fused: Fuse, open_graph: Any
) -> None:
    theirs = fused(kind)
    checkpoint = open_checkpoint(str(checkpoints(kind)))
    ours = build(checkpoint.folder, checkpoint.model, opset=17)
    one, other = count_operators(ours), count_operators(theirs.model)
    assert {name: one[name] for name in FUSED} == {name: other[name] for name in FUSED}
    engines = open_graph(ours), open_graph(theirs.model)
    for batch in theirs.probe.batches:
        mine, its = (engine.logits(batch) for engine in engines)
        assert np.abs(mine - its).max() <= 1e-5 * theirs.probe.spread


needs_nomic = pytest.mark.skipif(
    "nomic_bert" not in transformers.CONFIG_MAPPING, reason="transformers 4 has no NomicBERT"
)


@needs_nomic
@pytest.mark.parametrize(
    "task",
    [
        *(Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION),
        *(Task.FEATURE_EXTRACTION, Task.FILL_MASK),
    ],
)
def test_nomicbert_is_that_of_transformers(task: Task, checkpoints: Any, off_by: Any) -> None:
    folder = checkpoints("nomic_bert", task)
    off, model = off_by(folder, task)
    assert off < 1e-5
    counts = count_operators(model)
    assert counts["MultiHeadAttention"] == LAYERS
    assert counts["MatMul"] == 4 * LAYERS + {
        Task.TOKEN_CLASSIFICATION: 1,
        Task.FILL_MASK: 2,
    }.get(task, 0)


@needs_nomic
def test_nomicbert_is_not_trained_here_and_says_so(checkpoints: Any) -> None:
    with pytest.raises(CheckpointError, match="'nomic_bert', which is exported and run here, not"):
        open_base(str(checkpoints("nomic_bert", Task.FEATURE_EXTRACTION)))


@needs_nomic
def test_nomicbert_becomes_int8(exported: Fuse) -> None:
    report = exported("nomic_bert", quantize=True, keep_fp32=True, recipe="static")
    int8, fp32 = report.manifest.variants
    assert {each.name: each.nodes for each in int8.passes}["attention-fusion"] == LAYERS
    assert fp32.parity.max_difference < 1e-5
    assert 1e-6 < int8.parity.max_difference < 0.2


@needs_nomic
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 9.0}}, "the rope_type 'default'"),
        ({"head_dim": 16}, "head_dim is 16; it must be 8"),
    ],
)
def test_a_nomicbert_that_cannot_be_built_is_one_line(
    changes: dict[str, Any], message: str, checkpoints: Any, tmp_path: Path
) -> None:
    spec = open_checkpoint(str(checkpoints("nomic_bert"))).model
    folder = copied(checkpoints("nomic_bert"), tmp_path)
    set_config(**changes)(folder)
    with pytest.raises(CheckpointError, match=message):
        build(folder, spec, opset=17)


@pytest.mark.parametrize("code", [True, False], ids=["the hub's", "transformers'"])
def test_a_nomicbert_that_is_not_to_be_had_is_one_line(
    code: bool, checkpoints: Any, tmp_path: Path
) -> None:
    if not code and "nomic_bert" in transformers.CONFIG_MAPPING:
        pytest.skip("it is to be had")
    folder = copied(checkpoints("bert"), tmp_path)
    own = {"auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling.NomicBertModel"}}
    set_config(model_type="nomic_bert", **(own if code else {}))(folder)
    message = "asks for code of its own" if code else "does not have; install transformers 5"
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(str(folder))
    assert "\n" not in str(caught.value)


def test_layers_that_are_shared_are_stored_once(checkpoints: Any, off_by: Any) -> None:
    task = Task.TEXT_CLASSIFICATION
    sizes = {}
    for layers in (2, 6):
        folder = checkpoints("albert", num_hidden_layers=layers)
        off, model = off_by(folder, task)
        assert off < 1e-5
        assert count_operators(model)["Attention"] == layers
        sizes[layers] = sum(value.const_value.size for value in model.graph.initializers.values())
    assert sizes[2] == sizes[6]


def test_groups_of_layers_share_their_own_weights(checkpoints: Any, off_by: Any) -> None:
    folder = checkpoints("albert", num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2)
    off, model = off_by(folder, Task.TEXT_CLASSIFICATION)
    assert off < 1e-5
    assert count_operators(model)["Attention"] == 8


@pytest.mark.parametrize("kind", ["deberta-v2", "modernbert"])
def test_choices_are_scored_as_transformers_scores_them(kind: str, checkpoints: Any) -> None:
    folder = checkpoints(kind, Task.MULTIPLE_CHOICE)
    checkpoint = open_checkpoint(str(folder))
    (batch, *_) = parity_batches(checkpoint, None, pair=True)
    rows = TorchEngine(load_model(checkpoint)).logits(batch)
    model = transformers.AutoModelForMultipleChoice.from_pretrained(folder).eval()
    ids, mask = (torch.from_numpy(each)[None] for each in (batch.input_ids, batch.attention_mask))
    with torch.inference_mode():
        groups = model(input_ids=ids, attention_mask=mask).logits
    np.testing.assert_allclose(rows[:, 0], groups[0].numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"share_att_key": False},
        {"pos_att_type": "c2p"},
        {"pos_att_type": "p2c"},
        {"norm_rel_ebd": "none", "position_biased_input": True, "type_vocab_size": 2},
        {"position_buckets": -1, "max_relative_positions": 12},
        {"position_biased_input": True, "type_vocab_size": 1},
        {"type_vocab_size": 1},
    ],
    ids=repr,
)
def test_each_kind_of_distances_in_deberta_is_that_of_transformers(
    changes: dict[str, Any], checkpoints: Any, off_by: Any
) -> None:
    folder = checkpoints("deberta-v2", **changes)
    assert off_by(folder, Task.TEXT_CLASSIFICATION)[0] < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True},
        {"classifier_pooling": "mean", "local_rope_theta": None},
        {"local_attention": 3, "global_attn_every_n_layers": 3, "global_rope_theta": 500.0},
    ],
    ids=repr,
)
def test_each_form_of_modernbert_is_that_of_transformers(
    changes: dict[str, Any], checkpoints: Any, off_by: Any
) -> None:
    if changes.get("local_rope_theta", 1) is None and not has_transformers_4():
        pytest.skip("transformers 5 makes no such config")
    folder = checkpoints("modernbert", **changes)
    assert off_by(folder, Task.TEXT_CLASSIFICATION)[0] < 1e-5


def test_deberta_without_distances_is_refused(checkpoints: Any) -> None:
    checkpoint = open_checkpoint(str(checkpoints("deberta-v2", relative_attention=False)))
    with pytest.raises(CheckpointError, match="relative_attention is False; it must be True"):
        build(checkpoint.folder, checkpoint.model, opset=17)


@pytest.mark.parametrize(("count", "most"), [(256, 512), (256, 1024), (32, 64), (8, 64)])
def test_buckets_of_distances_are_those_of_deberta(count: int, most: int) -> None:
    distances = np.arange(1 - most, most)
    values = {"position_buckets": count, "max_relative_positions": most}
    found = disentangled.buckets(Config(values, ARCHITECTURES["deberta-v2"]), distances)
    expected = make_log_bucket_position(torch.from_numpy(distances), count, most).long() + count
    assert found.tolist() == expected.clamp(0, 2 * count - 1).tolist()


def test_buckets_of_distances_are_those_of_mpnet() -> None:
    distances = np.arange(-511, 512)
    expected = MPNetEncoder.relative_position_bucket(torch.from_numpy(distances), num_buckets=32)
    assert distance_buckets(distances, 32).tolist() == expected.tolist()


def test_one_token_alone_has_its_distances_too(checkpoints: Any, open_graph: Any) -> None:
    checkpoint = open_checkpoint(str(checkpoints("deberta-v2")))
    ones = np.ones((2, 1), np.int64)
    batch = Batch(input_ids=5 * ones, attention_mask=ones, token_type_ids=0 * ones)
    found = open_graph(build(checkpoint.folder, checkpoint.model, opset=17)).logits(batch)
    expected = TorchEngine(load_model(checkpoint)).logits(batch)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kind", OTHERS)
def test_architectures_that_optimum_does_not_fuse_become_int8(kind: str, exported: Fuse) -> None:
    report = exported(kind, quantize=True, keep_fp32=True, recipe="static")
    int8, fp32 = report.manifest.variants
    assert report.manifest.exporter == "direct"
    passes = {each.name: each.nodes for each in int8.passes}
    assert passes["attention-fusion"] == LAYERS
    assert passes["gelu-fusion"] == LAYERS + (kind in ("deberta-v2", "modernbert"))  # in the head
    assert passes["int8-matrix-products"] == 4 * LAYERS + 2 + (kind == "albert")
    assert passes["no-mask-without-padding"] == LAYERS
    assert fp32.parity.max_difference < 1e-5
    assert 1e-6 < int8.parity.max_difference < 0.2


@needs_optimum
def test_for_cuda_residuals_and_their_norms_are_one_node_as_optimum_makes_them(
    checkpoints: Any, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(str(checkpoints("bert")))
    model = load_model(checkpoint)
    path = export_graph(model, tmp_path / "exported", task=checkpoint.model.task, opset=17)
    theirs = fuse(path, model.config, tmp_path / "fused", CUDA)
    ours = source.from_weights(checkpoint, model.config, 17)(CUDA)
    assert ours.passes == theirs.passes
    one, other = count_operators(ours.model), count_operators(theirs.model)
    assert {name: one[name] for name in FUSED} == {name: other[name] for name in FUSED}


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("mode", PoolingMode)
def test_embeddings_are_pooled_and_normalized(
    mode: PoolingMode, opset: int, checkpoints: Any, off_by: Any
) -> None:
    folder = checkpoints("bert", Task.FEATURE_EXTRACTION)
    assert off_by(folder, Task.FEATURE_EXTRACTION, opset=opset, pooling=mode)[0] < 1e-5


def test_a_classifier_on_the_mean_is_built_too(checkpoints: Any, off_by: Any) -> None:
    folder = checkpoints("roberta", architectures=("MeanPoolingForSequenceClassification",))
    assert off_by(folder, Task.TEXT_CLASSIFICATION)[0] < 1e-5


@pytest.mark.parametrize(
    "act", ["gelu_new", "relu", "silu", "quick_gelu", "tanh", "gelu_pytorch_tanh"]
)
def test_each_activation_is_that_of_transformers(act: str, checkpoints: Any, off_by: Any) -> None:
    assert off_by(checkpoints("bert", hidden_act=act), Task.TEXT_CLASSIFICATION)[0] < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_other_types_are_read_as_fp32(
    dtype: torch.dtype, checkpoints: Any, tmp_path: Path, off_by: Any
) -> None:
    folder = copied(checkpoints("bert"), tmp_path)
    change(folder, lambda tensors: {name: each.to(dtype) for name, each in tensors.items()})
    assert off_by(folder, Task.TEXT_CLASSIFICATION)[0] < 1e-5


def test_shards_and_names_of_the_first_berts_are_read(
    checkpoints: Any, tmp_path: Path, off_by: Any
) -> None:
    folder = copied(checkpoints("bert"), tmp_path)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    old = {".LayerNorm.weight": ".LayerNorm.gamma", ".LayerNorm.bias": ".LayerNorm.beta"}
    places = {}
    for number, part in enumerate((list(tensors)[::2], list(tensors)[1::2])):
        file = f"model-{number}.safetensors"
        names = {name: name for name in part}
        for new, legacy in old.items():
            names = {name: own.replace(new, legacy) for name, own in names.items()}
        save_file(
            {own: tensors[name] for name, own in names.items()}, folder / file, {"format": "pt"}
        )
        places |= dict.fromkeys(names.values(), file)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": places})
    )
    assert off_by(folder, Task.TEXT_CLASSIFICATION)[0] < 1e-5


@needs_optimum
def test_onnxruntimes_quantizer_makes_the_graph_that_optimums_makes(
    fused: Fuse, tmp_path: Path
) -> None:
    graph = fused("bert")
    path = tmp_path / "model.onnx"
    save(graph.model, path)
    excluded = next(node.name for node in graph.model.graph if node.op_type == "MatMul")
    quantize_dynamic(
        path, graph.architecture, tmp_path / "optimum", float_nodes=[excluded], reduced_range=True
    )
    quantize_by_onnxruntime(path, tmp_path / "direct", [excluded, f"{excluded}_MatMul"], True)
    one, other = (tmp_path / name / "model.onnx" for name in ("optimum", "direct"))
    assert one.read_bytes() == other.read_bytes()


@needs_optimum
def test_both_exporters_lead_to_the_same_int8_bundle(exported: Fuse) -> None:
    bundles = [
        exported("bert", quantize=True, keep_fp32=True, recipe="static", **settings)
        for settings in ({"exporter": Exporter.DIRECT}, {})
    ]
    manifests = [open_bundle(each.output).manifest for each in bundles]
    assert [each.exporter for each in manifests] == ["direct", "optimum"]
    assert [each.reference for each in manifests] == ["pytorch", "pytorch"]
    for one, other in zip(*(each.variants for each in manifests), strict=True):
        assert one.passes == other.passes
        assert one.name == other.name
        scores = [
            [
                list(label.scores.values())
                for label in Predictor.open(
                    each.output, device="cpu", variant=one.name, threads=1
                ).predict(TEXTS)
            ]
            for each in bundles
        ]
        np.testing.assert_allclose(*scores, atol=1e-5)


def test_without_pytorch_and_optimum_the_graph_is_made_and_the_manifest_says_so(
    checkpoints: Any, tmp_path: Path
) -> None:
    program = f"""
import sys
from importlib.machinery import PathFinder
from pathlib import Path

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in ("torch", "optimum")
        return None if hidden else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from bertedge.export import ExportConfig, export
output = Path({str(tmp_path / "bundle")!r})
report = export(ExportConfig(checkpoint={str(checkpoints("bert"))!r}, output=output))
print(report.manifest.exporter, report.manifest.reference, "torch" in sys.modules)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "direct graph False"
    expected = open_checkpoint(str(checkpoints("bert")))
    engine = TorchEngine(load_model(expected))
    probe = record_logits(engine, parity_batches(expected, None, pair=False))
    opened = Predictor.open(tmp_path / "bundle", device="cpu", threads=1)
    assert difference(probe, opened.engine) < 1e-5


@needs_optimum
def test_the_exporter_is_optimum_where_it_can_else_the_builder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert source.choose_exporter(None, "bert") is Exporter.OPTIMUM
    assert source.choose_exporter(Exporter.DIRECT, "bert") is Exporter.DIRECT
    monkeypatch.setattr(source, "OPTIMUM_FUSES", ())
    assert source.choose_exporter(None, "bert") is Exporter.DIRECT
    assert source.choose_exporter(Exporter.OPTIMUM, "bert") is Exporter.OPTIMUM
    monkeypatch.undo()
    monkeypatch.setattr(source, "has_optimum", lambda: False)
    assert source.choose_exporter(None, "bert") is Exporter.DIRECT
    with pytest.raises(MissingExtraError, match="'optimum'"):
        source.choose_exporter(Exporter.OPTIMUM, "bert")


def test_texts_are_cut_at_512_tokens_unless_more_are_asked_for(checkpoints: Any) -> None:
    folder = copied_with_long_texts(checkpoints("modernbert", max_position_embeddings=8192))
    assert open_checkpoint(folder).model.max_length == 512
    assert open_checkpoint(folder, max_length=1024).model.max_length == 1024
    assert open_checkpoint(folder, max_length=16).model.max_length == 16
    with pytest.raises(SettingError, match=r"max_length is 9,000, but .* reads 8,192 at most"):
        open_checkpoint(folder, max_length=9000)


def copied_with_long_texts(folder: Path) -> str:
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"model_max_length": 10**6}))
    return str(folder)


def test_a_trimmed_vocabulary_is_built_in(checkpoints: Any, exported: Fuse, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(TEXTS))
    output = tmp_path / "bundle"
    config = ExportConfig(
        checkpoint=str(checkpoints("bert")),
        output=output,
        trim_vocab=corpus,
        exporter=Exporter.DIRECT,
    )
    trimming = export(config).manifest.trimming
    assert trimming is not None and trimming.after < trimming.before
    found, expected = (
        [
            list(each.scores.values())
            for each in Predictor.open(place, device="cpu", variant="cpu-fp32", threads=1).predict(
                TEXTS
            )
        ]
        for place in (output, exported("bert", exporter=Exporter.DIRECT).output)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("deberta-v2", {"pos_att_type": ["p2p"]}, "c2p and p2c are what can be built"),
        ("deberta-v2", {"position_buckets": 9}, "rel_embeddings.weight has the shape 16 by 32"),
        ("deberta-v2", {"conv_kernel_size": 3}, "conv_kernel_size is 3; it must be 0"),
        ("deberta-v2", {"max_position_embeddings": 0}, "max_position_embeddings is 0"),
        ("modernbert", {"rope_scaling": {"type": "linear"}}, "rope_scaling is"),
        ("modernbert", {"rope_parameters": {}}, "rope_parameters has no rope_theta"),
        ("modernbert", {"local_attention": "x"}, "local_attention is 'x'; it must be a whole"),
        ("modernbert", {"max_position_embeddings": 10**9}, "max_position_embeddings is 1000000000"),
        ("albert", {"num_hidden_groups": 7}, "num_hidden_groups"),
        ("albert", {"num_hidden_groups": 0}, "num_hidden_groups is 0"),
        ("mpnet", {"relative_attention_num_buckets": 8}, "relative_attention_num_buckets is 8"),
    ],
)
def test_configs_of_other_architectures_that_cannot_be_are_one_line(
    kind: str, changes: dict[str, Any], message: str, checkpoints: Any, tmp_path: Path
) -> None:
    spec = open_checkpoint(str(checkpoints(kind))).model
    folder = copied(checkpoints(kind), tmp_path)
    set_config(**changes)(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        build(folder, spec, opset=17)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("kind", ["mpnet", "deberta-v2", "modernbert"])
def test_a_graph_of_usual_width_is_one_that_bundles_may_hold(
    kind: str, opset: int, checkpoints: Any, off_by: Any, tmp_path: Path
) -> None:
    wide = {"hidden_size": 768, "num_attention_heads": 12, "num_hidden_layers": 1}
    folder = checkpoints(kind, **wide | ({"pooler_hidden_size": 768} if "v2" in kind else {}))
    off, model = off_by(folder, Task.TEXT_CLASSIFICATION, opset=opset)
    assert off < 1e-5
    save(model, tmp_path / "wide.onnx")
    check_graph(tmp_path / "wide.onnx", None)


def set_config(**values: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return spoil


def drop_tensor(folder: Path) -> None:
    change(folder, lambda tensors: {k: v for k, v in tensors.items() if "layer.1.output" not in k})


def put_nan(folder: Path) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        tensors["bert.encoder.layer.2.output.dense.weight"][3, 3] = float("nan")
        return tensors

    change(folder, spoil)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (set_config(hidden_size=48), "69 by 32, and config.json asks for 69 by 48"),
        (set_config(hidden_size=-1), "hidden_size is -1; it must be a whole number from 1 up"),
        (set_config(hidden_size="32"), "hidden_size is '32'; it must be a whole number"),
        (set_config(intermediate_size=10**9), "config.json asks for 1000000000 by 32"),
        (
            set_config(max_position_embeddings=10**9),
            "max_position_embeddings is 1000000000; .* to 131,072",
        ),
        (set_config(num_attention_heads=5), "divides a hidden size of 32 by 5 attention heads"),
        (set_config(num_hidden_layers=4), r"lacks bert\.encoder\.layer\.3\."),
        (set_config(layer_norm_eps="tiny"), "layer_norm_eps is 'tiny'; it must be a number"),
        (set_config(position_embedding_type="relative_key"), "position_embedding_type is 'relat"),
        (set_config(hidden_act="snake"), "activation 'snake' is not one of gelu"),
        (set_config(model_type="gpt9"), "'gpt9'; graphs are built for bert, roberta, xlm-roberta"),
        (set_config(model_type=["x"] * 99), "has the architecture"),
        (drop_tensor, r"lacks bert\.encoder\.layer\.1\.output"),
        (put_nan, r"NaN or infinity in bert\.encoder\.layer\.2\.output\.dense\.weight"),
    ],
)
def test_a_checkpoint_that_cannot_be_is_one_line(
    spoil: Callable[[Path], None], message: str, checkpoints: Any, tmp_path: Path
) -> None:
    spec = open_checkpoint(str(checkpoints("bert"))).model
    folder = copied(checkpoints("bert"), tmp_path)
    spoil(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        build(folder, spec, opset=17, device=CPU)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_a_head_of_other_labels_is_one_line(checkpoints: Any) -> None:
    spec = open_checkpoint(str(checkpoints("bert", Task.TOKEN_CLASSIFICATION))).model
    with pytest.raises(CheckpointError, match="gives 3 logits, and the model has 5 labels"):
        build(checkpoints("bert"), spec, opset=17)


def test_the_builder_needs_neither_torch_nor_transformers_nor_optimum() -> None:
    program = (
        "import sys, bertedge.export.graph.builder\n"
        "print({'torch', 'transformers', 'optimum'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "set()\n"
    assert {"bert", "roberta", "distilbert", "electra"} <= set(ARCHITECTURES)


def copied(folder: Path, place: Path) -> Path:
    copy = place / "checkpoint"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def change(folder: Path, spoil: Callable[..., dict[str, torch.Tensor]]) -> None:
    path = folder / "model.safetensors"
    save_file(spoil(load_file(path)), path, {"format": "pt"})
