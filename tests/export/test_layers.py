"""Dense modules of sentence-transformers and heads of SetFit, in the files that both write."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier

import bertedge
from bertedge.checkpoint import open_checkpoint
from bertedge.cli import main
from bertedge.errors import BertedgeError, CheckpointError, SettingError
from bertedge.export import ExportConfig, ExportReport, export
from bertedge.export.config import Exporter
from bertedge.spec import PoolingMode, ProblemType, Task

TEXTS = [
    "anna met no good hotel in berlin",
    "not bad",
    "the very good hotel in paris, not in berlin " * 2,
    "bad bad hotel",
    "paris",
    "no",
]
COLORS = ("red", "green", "blue")
Floats = NDArray[np.float32]
Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def encoder(checkpoints: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, folder = checkpoints("bert"), tmp_path_factory.mktemp("encoders") / "bert"
    transformers.AutoModel.from_pretrained(source).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(encoder, tmp_path / "model"))


def add_modules(folder: Path, *kinds: str, mode: str = "mean") -> None:
    """Write what `SentenceTransformer.save` writes of these modules."""
    places = [("", "Transformer"), *((f"{i}_{kind}", kind) for i, kind in enumerate(kinds, 1))]
    rows = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(places)
    ]
    (folder / "modules.json").write_text(json.dumps(rows))
    for path, kind in places[1:]:
        (folder / path).mkdir(exist_ok=True)
        if kind == "Pooling":
            config = {"embedding_dimension": 32, "pooling_mode": mode, "include_prompt": True}
            (folder / path / "config.json").write_text(json.dumps(config))


def add_dense(
    folder: Path,
    name: str,
    inputs: int,
    outputs: int,
    activation: str = "activation.Tanh",
    **more: Any,
) -> dict[str, Floats]:
    """Write a Dense module with random weights."""
    rng = np.random.default_rng(outputs)
    tensors = {"linear.weight": rng.normal(size=(outputs, inputs), scale=0.3).astype(np.float32)}
    if more.get("bias", True):
        tensors["linear.bias"] = rng.normal(size=outputs).astype(np.float32)
    config = {
        "in_features": inputs,
        "out_features": outputs,
        "bias": True,
        "activation_function": f"torch.nn.modules.{activation}",
        "module_input_name": "sentence_embedding",
        "module_output_name": "sentence_embedding",
    }
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "config.json").write_text(json.dumps(config | more))
    save_file(tensors, folder / name / "model.safetensors")
    return tensors


def pooled(folder: Path, mode: PoolingMode = PoolingMode.MEAN) -> torch.Tensor:
    """Pool text by text, as sentence-transformers does."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    rows = []
    with torch.no_grad():
        for text in TEXTS:
            hidden = model(**tokenizer(text, truncation=True, return_tensors="pt"))[0][0]
            rows.append(hidden[0] if mode is PoolingMode.CLS else hidden.mean(dim=0))
    return torch.stack(rows)


def run(folder: Path, **settings: Any) -> ExportReport:
    return export(
        ExportConfig(
            checkpoint=str(folder), output=folder.parent / "bundle", overwrite=True, **settings
        )
    )


@pytest.mark.parametrize(
    ("mode", "exporter"),
    [
        (PoolingMode.MEAN, Exporter.OPTIMUM),
        (PoolingMode.MEAN, Exporter.DIRECT),
        (PoolingMode.CLS, Exporter.DIRECT),
    ],
)
def test_embeddings_go_through_dense_modules(
    folder: Path, mode: PoolingMode, exporter: Exporter
) -> None:
    add_modules(folder, "Pooling", "Dense", "Dense", "Normalize", mode=mode.value)
    first = add_dense(folder, "2_Dense", 32, 16)
    second = add_dense(folder, "3_Dense", 16, 24, "linear.Identity", bias=False)
    report = run(folder, exporter=exporter)
    pooling = report.manifest.model.pooling
    assert pooling is not None and pooling.mode is mode and pooling.normalized
    assert [(each.inputs, each.size, each.activation) for each in pooling.dense] == [
        (32, 16, "tanh"),
        (16, 24, "linear"),
    ]
    values = pooled(folder, mode).numpy() @ first["linear.weight"].T + first["linear.bias"]
    values = np.tanh(values) @ second["linear.weight"].T
    wanted = values / np.linalg.norm(values, axis=1, keepdims=True)
    model = bertedge.load(report.output, device="cpu", threads=1)
    np.testing.assert_allclose(model.embed(TEXTS), wanted, atol=1e-5)
    for text, row in zip(TEXTS, wanted, strict=True):
        np.testing.assert_allclose(model.embed([text])[0], row, atol=1e-5)
    shown = CliRunner().invoke(main, ["inspect", str(report.output)]).stdout
    assert "32 to 16 (tanh), 16 to 24 (linear), normalized" in shown


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("activation.ReLU", torch.relu),
        ("activation.GELU", torch.nn.functional.gelu),
        ("activation.SiLU", torch.nn.functional.silu),
        ("activation.Sigmoid", torch.sigmoid),
    ],
)
def test_activations_are_those_of_pytorch(
    folder: Path, path: str, function: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    add_modules(folder, "Pooling", "Dense")
    tensors = {k: torch.from_numpy(v) for k, v in add_dense(folder, "2_Dense", 32, 8, path).items()}
    wanted = function(pooled(folder) @ tensors["linear.weight"].T + tensors["linear.bias"])
    model = bertedge.load(run(folder, exporter=Exporter.DIRECT).output, device="cpu", threads=1)
    np.testing.assert_allclose(model.embed(TEXTS), wanted, atol=1e-5)


def test_int8_keeps_embeddings_of_dense_modules(folder: Path) -> None:
    add_modules(folder, "Pooling", "Dense", "Normalize")
    add_dense(folder, "2_Dense", 32, 16)
    report = run(folder, quantize=True, keep_fp32=True, exporter=Exporter.DIRECT)
    int8, fp32 = (variant.accuracy for variant in report.manifest.variants)
    assert int8 is not None and int8.metric == "cosine" and 0.98 < int8.agreement < 0.999999
    assert fp32 is not None and fp32.agreement == pytest.approx(1, abs=1e-6)
    plain = run(folder, exporter=Exporter.DIRECT, task=Task.FEATURE_EXTRACTION)
    assert plain.manifest.source.parameters > 32 * 16


def test_the_hash_of_a_model_is_of_its_dense_modules_too(folder: Path) -> None:
    add_modules(folder, "Pooling", "Dense")
    add_dense(folder, "2_Dense", 32, 16)
    before = open_checkpoint(str(folder)).source
    tensors = {"linear.weight": np.ones((16, 32), np.float32)}
    save_file(tensors, folder / "2_Dense" / "model.safetensors")
    after = open_checkpoint(str(folder)).source
    assert before.sha256 != after.sha256
    assert before.parameters == after.parameters + 16


def spoil_config(folder: Path, **values: Any) -> None:
    path = folder / "2_Dense" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def spoil_weights(folder: Path, **tensors: NDArray[Any]) -> None:
    save_file(tensors, folder / "2_Dense" / "model.safetensors")


def to_pickle(folder: Path) -> None:
    (folder / "2_Dense" / "model.safetensors").unlink()
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: add_modules(f, "Pooling", "LSTM"), "puts LSTM behind the encoder"),
        (lambda f: add_modules(f, "Pooling", "Normalize", "Dense"), "in this order"),
        (lambda f: add_modules(f, "Pooling", "Pooling"), "in this order"),
        (lambda f: spoil_config(f, activation_function="os.system"), "is 'os.system'; supported"),
        (lambda f: spoil_config(f, activation_function="torch.nn.PReLU"), "Identity, tanh"),
        (lambda f: spoil_config(f, activation_function=["x"]), "activation_function is"),
        (lambda f: spoil_config(f, use_residual=True), "has a residual connection"),
        (lambda f: spoil_config(f, module_input_name="scores"), "reads another value"),
        (lambda f: spoil_config(f, in_features="32"), "must be whole numbers"),
        (lambda f: spoil_config(f, out_features=10**9), "must be whole numbers"),
        (lambda f: spoil_config(f, out_features=7), "has the shape 16 by 32"),
        (lambda f: spoil_config(f, in_features=31), "has the shape 16 by 32"),
        (lambda f: spoil_weights(f, weight=np.ones((16, 32), np.float32)), "has no linear.weight"),
        (
            lambda f: spoil_weights(f, **{"linear.weight": np.full((16, 32), np.nan, np.float32)}),
            "NaN or infinity in linear.weight",
        ),
        (lambda f: (f / "2_Dense" / "model.safetensors").write_bytes(b"x" * 20), "damaged"),
        (lambda f: (f / "2_Dense" / "model.safetensors").unlink(), "is missing"),
        (to_pickle, r"as a pickle \(pytorch_model.bin\)"),
        (lambda f: shutil.rmtree(f / "2_Dense"), "cannot be read"),
        (lambda f: add_dense(f, "2_Dense", 31, 16), "reads 31 values, and is given 32"),
    ],
)
def test_dense_modules_that_cannot_be_are_each_one_line(
    folder: Path, spoil: Callable[[Path], object], said: str
) -> None:
    add_modules(folder, "Pooling", "Dense")
    add_dense(folder, "2_Dense", 32, 16)
    spoil(folder)
    with pytest.raises(CheckpointError, match=said) as raised:
        run(folder, exporter=Exporter.DIRECT)
    assert len(str(raised.value)) <= 300 and str(raised.value).isprintable()


def add_setfit(
    folder: Path, head: dict[str, Array], *, normalized: bool = False, **metadata: str
) -> None:
    """Write what SetFit writes, and the head as the documentation has it."""
    settings = {"normalize_embeddings": normalized, "labels": list(COLORS[: len(head["coef"])])}
    if len(head["coef"]) == 1:
        settings["labels"] = list(COLORS[:2])
    (folder / "config_setfit.json").write_text(json.dumps(settings))
    (folder / "model_head.pkl").write_bytes(b"a pickle, never read")
    # sklearn's are in Fortran's order, which safetensors would save without a word as C's.
    whole = {name: np.ascontiguousarray(array) for name, array in head.items()}
    save_file(whole, folder / "model_head.safetensors", metadata or None)


def embeddings(folder: Path, *, normalized: bool) -> Floats:
    rows = pooled(folder).numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) if normalized else rows


@pytest.mark.parametrize(
    ("classes", "normalized", "exporter"),
    [(2, True, Exporter.OPTIMUM), (3, False, Exporter.DIRECT), (3, True, Exporter.DIRECT)],
)
def test_scores_are_those_of_the_logistic_head(
    folder: Path, classes: int, normalized: bool, exporter: Exporter
) -> None:
    add_modules(folder, "Pooling", *(["Normalize"] if classes == 2 else []))
    rows = embeddings(folder, normalized=normalized)
    head = LogisticRegression(C=30).fit(rows, np.arange(len(TEXTS)) % classes)
    add_setfit(
        folder,
        {"coef": head.coef_, "intercept": head.intercept_},
        normalized=normalized and classes == 3,
    )
    report = run(folder, exporter=exporter)
    spec = report.manifest.model
    assert (spec.task, spec.labels) == (Task.TEXT_CLASSIFICATION, COLORS[:classes])
    assert spec.rule.problem_type is ProblemType.SINGLE_LABEL
    found = bertedge.load(report.output, device="cpu", threads=1).predict(TEXTS)
    scores = [list(each.scores.values()) for each in found]
    np.testing.assert_allclose(scores, head.predict_proba(rows), atol=1e-5)
    assert [each.label for each in found] == [COLORS[i] for i in head.predict(rows)]
    logits = np.array(report.manifest.golden.logits)
    assert logits.shape[1] == classes and np.ptp(logits) > 0.01


@pytest.mark.parametrize("exporter", list(Exporter))
def test_one_label_of_independent_classifiers_is_scored_as_sklearn_does(
    folder: Path, exporter: Exporter
) -> None:
    add_modules(folder, "Pooling")
    rows = embeddings(folder, normalized=False)
    head = OneVsRestClassifier(LogisticRegression(C=300)).fit(rows, np.arange(len(TEXTS)) % 3)
    parts = {
        "coef": np.concatenate([each.coef_ for each in head.estimators_]),
        "intercept": np.concatenate([each.intercept_ for each in head.estimators_]),
    }
    add_setfit(folder, parts, multi_class="ovr")
    found = bertedge.load(run(folder, exporter=exporter).output, device="cpu").predict(TEXTS)
    scores = [list(each.scores.values()) for each in found]
    np.testing.assert_allclose(scores, head.predict_proba(rows), atol=1e-5)


@pytest.mark.parametrize("strategy", ["one-vs-rest", "multi-output"])
def test_several_labels_have_a_score_each(folder: Path, strategy: str) -> None:
    add_modules(folder, "Pooling", "Normalize")
    rows = embeddings(folder, normalized=True)
    gold = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1]])
    several = OneVsRestClassifier if strategy == "one-vs-rest" else MultiOutputClassifier
    head = several(LogisticRegression(C=30)).fit(rows, gold)
    parts = {
        "coef": np.concatenate([each.coef_ for each in head.estimators_]),
        "intercept": np.concatenate([each.intercept_ for each in head.estimators_]),
    }
    add_setfit(folder, parts, multi_target_strategy=strategy)
    report = run(folder, exporter=Exporter.DIRECT)
    assert report.manifest.model.rule.problem_type is ProblemType.MULTI_LABEL
    model = bertedge.load(report.output, problem_type=ProblemType.MULTI_LABEL, device="cpu")
    found = model.predict(TEXTS)
    wanted = np.stack([each.predict_proba(rows)[:, 1] for each in head.estimators_], axis=1)
    scores = [[each.scores[color] for color in COLORS] for each in found]
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    assert [set(each.labels) for each in found] == [
        {color for color, is_there in zip(COLORS, row, strict=True) if is_there}
        for row in head.predict(rows)
    ]


def test_a_setfit_model_is_evaluated_and_quantized(folder: Path, tmp_path: Path) -> None:
    add_modules(folder, "Pooling", "Dense")
    add_dense(folder, "2_Dense", 32, 16)
    rng = np.random.default_rng(0)
    add_setfit(folder, {"coef": rng.normal(size=(3, 16)), "intercept": np.zeros(3)})
    model = bertedge.load(run(folder, exporter=Exporter.DIRECT).output, device="cpu")
    data = tmp_path / "data.csv"
    rows = [f'"{text}",{model.predict_one(text).label}\n' for text in TEXTS]
    data.write_text("text,label\n" + "".join(rows))
    report = run(folder, exporter=Exporter.DIRECT, eval_data=data, quantize=True, max_drop=100.0)
    accuracy = report.manifest.variants[0].accuracy
    assert accuracy is not None and (accuracy.metric, accuracy.checkpoint) == ("accuracy", 1.0)
    told = ["evaluate", str(folder), "--data", str(data), "--json", "--device", "cpu"]
    result = CliRunner().invoke(main, told)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["scores"]["accuracy"] == 1.0
    vectors = run(folder, exporter=Exporter.DIRECT, task=Task.FEATURE_EXTRACTION)
    assert bertedge.load(vectors.output, device="cpu").embed(["not bad"]).shape == (1, 16)


HEAD = {"coef": np.ones((3, 32)), "intercept": np.zeros(3)}


@pytest.mark.parametrize(
    ("head", "metadata", "labels", "said"),
    [
        (None, {}, list(COLORS), r"head is a pickle \(model_head.pkl\).*bertedge finetune"),
        ({"coef": np.ones((3, 32))}, {}, list(COLORS), "has no intercept; found coef"),
        (HEAD | {"coef": np.ones((3, 31))}, {}, list(COLORS), "reads 31 values, and is given 32"),
        (HEAD | {"coef": np.ones(32)}, {}, list(COLORS), r"coef has the shape \(32,\)"),
        (HEAD | {"intercept": np.ones(2)}, {}, list(COLORS), "intercept has the shape 2"),
        (HEAD | {"coef": np.full((3, 32), np.inf)}, {}, list(COLORS), "NaN or infinity in coef"),
        (HEAD, {}, ["red"], "names 1 labels, and the head .* has 3"),
        (HEAD, {}, "red", "labels must be a list of names"),
        (HEAD, {}, ["red", "red", "blue"], "'red' is there twice"),
        (HEAD, {"multi_target_strategy": "classifier-chain"}, list(COLORS), "'classifier-chain'"),
    ],
)
def test_heads_that_cannot_be_are_each_one_line(
    folder: Path,
    head: dict[str, Array] | None,
    metadata: dict[str, str],
    labels: Any,
    said: str,
) -> None:
    add_modules(folder, "Pooling")
    add_setfit(folder, head or HEAD, **metadata)
    settings = {"normalize_embeddings": False, "labels": labels}
    (folder / "config_setfit.json").write_text(json.dumps(settings))
    if head is None:
        (folder / "model_head.safetensors").unlink()
    with pytest.raises(BertedgeError, match=said) as raised:
        run(folder, exporter=Exporter.DIRECT)
    assert len(str(raised.value)) <= 300 and str(raised.value).isprintable()


def test_pooling_is_no_choice_for_a_trained_head(folder: Path) -> None:
    add_modules(folder, "Pooling")
    add_setfit(folder, HEAD)
    with pytest.raises(SettingError, match="--pooling and --no-normalize shape embeddings"):
        run(folder, exporter=Exporter.DIRECT, pooling=PoolingMode.CLS)


def test_labels_that_setfit_does_not_name_are_numbers(folder: Path) -> None:
    add_modules(folder, "Pooling")
    add_setfit(folder, HEAD)
    (folder / "config_setfit.json").write_text('{"normalize_embeddings": false, "labels": null}')
    assert open_checkpoint(str(folder)).model.labels == ("0", "1", "2")
