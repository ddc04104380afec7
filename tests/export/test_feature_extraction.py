"""Any encoder to a bundle of embeddings, against transformers' own pipeline, pooled by hand."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers
from click.testing import CliRunner
from numpy.typing import NDArray

import bertedge
from bertedge.bundle import open_bundle
from bertedge.checkpoint import open_checkpoint
from bertedge.cli import main
from bertedge.errors import CheckpointError, DataError, SettingError, VerificationError
from bertedge.export import ExportConfig, ExportReport, export
from bertedge.export.config import Exporter
from bertedge.predictions import Embedding
from bertedge.predictor import Predictor
from bertedge.spec import Pooling, PoolingMode, Task

TEXTS = [
    "anna met no good hotel in berlin",
    "not bad",
    "the very good hotel in paris, not in berlin " * 2,
    "",
]
ODD = {
    "empty": "",
    "only spaces": " \t\n ",
    "emoji": "🙂🙃🎉",
    "control characters": "good\x00\x07 \x1bhotel",
    "lone surrogate": "good \ud83d hotel",
    "right to left": "מלון טוב فندق جيد",
}
PAIRS = (
    "sentence1,sentence2,score\n"
    "good hotel,very good hotel,4.5\nnot bad,bad,2\nanna met paris,no,0\nberlin,paris,3\n"
)

Make = Callable[..., ExportReport]
Embedder = Callable[..., tuple[Path, ExportReport]]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory, checkpoints: Any) -> Callable[[str], Path]:
    """Save the encoder alone of a classifier: what AutoModel reads."""

    def make(kind: str) -> Path:
        source = checkpoints(kind)
        folder = tmp_path_factory.mktemp("encoders") / kind
        transformers.AutoModel.from_pretrained(source).save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(source).save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(checkpoint: Path, **settings: Any) -> ExportReport:
        config = ExportConfig(
            checkpoint=str(checkpoint),
            output=tmp_path / "bundle",
            overwrite=True,
            **({"task": Task.FEATURE_EXTRACTION} | settings),
        )
        return export(config)

    return make


@pytest.fixture(scope="module")
def embedder(encoder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    """Export (once) an encoder; return its folder too. Both must stay as they are."""

    @cache
    def make(kind: str, **settings: Any) -> tuple[Path, ExportReport]:
        folder, output = encoder(kind), tmp_path_factory.mktemp("embedders") / "bundle"
        task = Task.FEATURE_EXTRACTION
        config = ExportConfig(checkpoint=str(folder), output=output, task=task, **settings)
        return folder, export(config)

    return make


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text(PAIRS)
    return path


def tokenizer_of(folder: Path) -> Any:
    """Load a tokenizer that gives what the model takes: DistilBERT knows no token types."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if "distilbert" in folder.name:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


def by_hand(folder: Path, texts: list[str], pooling: Pooling) -> NDArray[np.float32]:
    """Embed by transformers' feature-extraction pipeline, text by text."""
    tokenizer = tokenizer_of(folder)
    model = transformers.AutoModel.from_pretrained(folder)
    pipeline = transformers.pipeline("feature-extraction", model=model, tokenizer=tokenizer)
    rows = []
    for text in texts:
        hidden = np.array(pipeline(text, truncation=True)[0])
        row = {
            PoolingMode.CLS: hidden[0],
            PoolingMode.MEAN: hidden.mean(axis=0),
            PoolingMode.MAX: hidden.max(axis=0),
            PoolingMode.MEAN_SQRT_LEN: hidden.sum(axis=0) / np.sqrt(len(hidden)),
        }[pooling.mode]
        rows.append(row / np.linalg.norm(row) if pooling.normalized else row)
    return np.array(rows, np.float32)


def by_recipe(folder: Path, texts: list[str]) -> NDArray[np.float32]:
    """Embed as sentence-transformers' model cards write it out, in one padded batch."""
    tokenizer = tokenizer_of(folder)
    model = transformers.AutoModel.from_pretrained(folder)
    encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**encoded)[0]
    mask = encoded["attention_mask"].unsqueeze(-1).expand(hidden.size()).float()
    pooled = torch.sum(hidden * mask, 1) / torch.clamp(mask.sum(1), min=1e-9)
    return torch.nn.functional.normalize(pooled, p=2, dim=1).numpy()


def check_alone_and_together(report: ExportReport, expected: NDArray[np.float32]) -> Predictor:
    predictor = bertedge.load(report.output, device="cpu", threads=1)
    np.testing.assert_allclose(predictor.embed(TEXTS), expected, atol=1e-5)
    alone = [predictor.predict_one(text) for text in TEXTS]
    for found, row in zip(alone, expected, strict=True):
        assert isinstance(found, Embedding)
        assert found.values.dtype == np.float32
        np.testing.assert_allclose(found.values, row, atol=1e-5)
    return predictor


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra"])
def test_embeddings_of_every_architecture_are_those_of_transformers(
    embedder: Embedder, kind: str
) -> None:
    folder, report = embedder(kind)
    assert (report.manifest.model.task, report.manifest.model.labels) == (
        Task.FEATURE_EXTRACTION,
        (),
    )
    assert report.manifest.model.pooling == Pooling(mode=PoolingMode.MEAN, normalized=True)
    expected = by_hand(folder, TEXTS, Pooling())
    np.testing.assert_allclose(by_recipe(folder, TEXTS), expected, atol=1e-5)
    check_alone_and_together(report, expected)


@pytest.mark.parametrize("mode", list(PoolingMode))
def test_pooling_and_length_are_as_asked_for(embedder: Embedder, mode: PoolingMode) -> None:
    folder, report = embedder("bert", pooling=mode, normalize=False)
    pooling = Pooling(mode=mode, normalized=False)
    assert report.manifest.model.pooling == pooling
    check_alone_and_together(report, by_hand(folder, TEXTS, pooling))
    names = [each.name for each in report.manifest.variants[0].passes]
    assert ("cls-only-last-layer" in names) == (mode is PoolingMode.CLS)


def test_the_graph_for_unpadded_batches_takes_no_mask(embedder: Embedder) -> None:
    _, report = embedder("bert")
    variant = report.manifest.variants[0]
    assert variant.unpadded is not None
    graph = onnx.load(report.output / variant.unpadded.file, load_external_data=False).graph
    assert [value.name for value in graph.input] == ["input_ids"]
    assert sum(node.op_type == "ReduceMean" for node in graph.node) == 1


def test_a_trained_classifier_is_an_encoder_too(checkpoints: Any, make: Make) -> None:
    folder = checkpoints("bert")
    check_alone_and_together(make(folder), by_hand(folder, TEXTS, Pooling()))


def sentence_transformer(folder: Path, *modules: str, **pooling: bool) -> None:
    kinds = [f"sentence_transformers.models.{name}" for name in ("Transformer", *modules)]
    paths = ["", *(f"{i}_{name}" for i, name in enumerate(modules, 1))]
    listed = [{"path": path, "type": kind} for path, kind in zip(paths, kinds, strict=True)]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


def test_sentence_transformers_files_say_how_to_pool(encoder: Callable[[str], Path]) -> None:
    folder = encoder("bert")
    with pytest.raises(CheckpointError, match="--task feature-extraction"):
        open_checkpoint(str(folder))
    sentence_transformer(folder, "Pooling", pooling_mode_cls_token=True)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 20}')
    opened = open_checkpoint(str(folder))
    assert opened.model.task is Task.FEATURE_EXTRACTION and opened.model.max_length == 20
    assert opened.model.pooling == Pooling(mode=PoolingMode.CLS, normalized=False)
    sentence_transformer(folder, "Pooling", "Normalize", pooling_mode_mean_tokens=True)
    assert open_checkpoint(str(folder)).model.pooling == Pooling()
    asked = open_checkpoint(str(folder), pooling=PoolingMode.CLS).model.pooling
    assert asked == Pooling(mode=PoolingMode.CLS, normalized=True)


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        ("pooling_mode_max_tokens", PoolingMode.MAX),
        ("pooling_mode_mean_sqrt_len_tokens", PoolingMode.MEAN_SQRT_LEN),
    ],
)
@pytest.mark.parametrize("exporter", Exporter)
def test_folders_that_pool_otherwise_are_embedded_as_they_say(
    exporter: Exporter, key: str, mode: PoolingMode, encoder: Callable[[str], Path], make: Make
) -> None:
    folder = encoder("bert")
    sentence_transformer(folder, "Pooling", **{key: True})
    report = make(folder, task=None, exporter=exporter)
    pooling = Pooling(mode=mode, normalized=False)
    assert report.manifest.model.pooling == pooling
    check_alone_and_together(report, by_hand(folder, TEXTS, pooling))


def test_what_is_not_done_here_is_refused(encoder: Callable[[str], Path]) -> None:
    folder = encoder("bert")
    sentence_transformer(folder, "Pooling", "LSTM", pooling_mode_mean_tokens=True)
    with pytest.raises(CheckpointError, match="puts LSTM behind the encoder"):
        open_checkpoint(str(folder))
    sentence_transformer(folder, "Pooling", pooling_mode_lasttoken=True)
    with pytest.raises(CheckpointError, match=r"pooling_mode_lasttoken.*--pooling"):
        open_checkpoint(str(folder))
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_checkpoint(str(folder))


def test_pooling_is_for_embeddings_alone(checkpoints: Any, make: Make) -> None:
    with pytest.raises(SettingError, match="add --task feature-extraction"):
        make(checkpoints("bert"), task=None, pooling=PoolingMode.CLS)
    with pytest.raises(SettingError, match="reads single texts; leave --pair out"):
        make(checkpoints("bert"), pair=True)


def test_int8_is_measured_by_spearman_and_by_the_mean_cosine(
    encoder: Callable[[str], Path], make: Make, pairs: Path
) -> None:
    folder = encoder("bert")
    report = make(folder, quantize=True, keep_fp32=True, eval_data=pairs, max_drop=200)
    int8, fp32 = (variant.accuracy for variant in report.manifest.variants)
    assert int8 is not None and fp32 is not None
    assert int8.metric == fp32.metric == "spearman" and int8.rows == 4
    assert fp32.variant == fp32.checkpoint and fp32.agreement == pytest.approx(1, abs=1e-6)
    assert not report.manifest.model.pair
    parts = [part for line in PAIRS.splitlines()[1:] for part in line.split(",")[:2]]
    found = bertedge.load(report.output, device="cpu", variant="cpu-int8").embed(parts)
    mean = float((found * by_hand(folder, parts, Pooling())).sum(axis=1).mean())
    assert int8.agreement == pytest.approx(mean, abs=1e-3)
    assert 0.9 < int8.agreement < 0.99999


def test_plain_texts_are_compared_with_the_checkpoint_by_cosine(
    encoder: Callable[[str], Path], make: Make, tmp_path: Path
) -> None:
    plain = tmp_path / "texts.txt"
    plain.write_text("good hotel\n\nnot bad, not good\nanna met no\n")
    settings: dict[str, Any] = {"quantize": True, "eval_data": plain, "recipe": "dynamic"}
    accuracy = make(encoder("bert"), **settings).manifest.variants[0].accuracy
    assert accuracy is not None and accuracy.metric == "cosine" and accuracy.rows == 3
    assert accuracy.checkpoint == 1 and accuracy.variant == accuracy.agreement < 1
    with pytest.raises(VerificationError, match="on a mean cosine of"):
        make(encoder("bert"), min_agreement=1.0, **settings)


def test_without_data_the_built_in_sentences_are_compared(
    encoder: Callable[[str], Path], make: Make
) -> None:
    report = make(encoder("bert"), quantize=True)
    variant = report.manifest.variants[0]
    assert variant.accuracy is not None and variant.quantization is not None
    assert (variant.accuracy.data, variant.accuracy.rows) == ("built-in.txt", 12)
    assert variant.accuracy.metric == "cosine" and variant.accuracy.agreement > 0.99
    taken = variant.quantization.recipe
    (trial,) = [each for each in variant.quantization.trials if each.recipe == taken]
    assert trial.agreement == variant.accuracy.agreement
    assert "--eval-data" in report.data_note


def test_a_trimmed_vocabulary_embeds_its_corpus_as_before(
    encoder: Callable[[str], Path], make: Make, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(text for text in TEXTS if text))
    folder = encoder("bert")
    report = make(folder, trim_vocab=corpus)
    trimming = report.manifest.trimming
    assert trimming is not None and trimming.after < trimming.before
    check_alone_and_together(report, by_hand(folder, TEXTS, Pooling()))


def test_the_cuda_variant_keeps_parity(encoder: Callable[[str], Path], make: Make) -> None:
    for mode in PoolingMode:
        variant = make(encoder("bert"), gpu=True, pooling=mode).manifest.variants[-1]
        assert variant.name == "cuda-fp16" and variant.parity.max_difference <= 0.01


def test_similarity_is_a_matrix_of_cosines(embedder: Embedder) -> None:
    _, report = embedder("bert", pooling=PoolingMode.MEAN, normalize=False)
    predictor = bertedge.load(report.output)
    found = predictor.similarity(TEXTS[:2], TEXTS[:3])
    assert found.shape == (2, 3) and found.dtype == np.float32
    np.testing.assert_allclose(np.diag(found), 1, atol=1e-5)
    vectors = predictor.embed(TEXTS[:3])
    assert np.linalg.norm(vectors, axis=1).min() > 1.1
    np.testing.assert_allclose(predictor.similarity(TEXTS[:2], vectors), found, atol=1e-5)
    assert predictor.embed([]).shape == (0, 32)
    assert predictor.similarity([], vectors).shape == (0, 3)
    with pytest.raises(DataError, match=r"\(1, 5\)"):
        predictor.similarity(vectors, np.ones((1, 5), np.float32))


def test_odd_texts_are_embedded_as_by_transformers(embedder: Embedder) -> None:
    folder, report = embedder("bert")
    predictor = bertedge.load(report.output)
    found = predictor.predict([*ODD.values(), "good hotel " * 10_000])
    readable = [text.replace("\ud83d", "\ufffd") for text in ODD.values()]
    expected = by_hand(folder, [*readable, "good hotel " * 10_000], Pooling())
    for each, row in zip(found, expected, strict=True):
        assert isinstance(each, Embedding)
        np.testing.assert_allclose(each.values, row, atol=1e-5)
    assert [each.truncated for each in found if isinstance(each, Embedding)] == [False] * 6 + [True]


def test_other_models_have_no_embeddings(exported: Any) -> None:
    report = exported("bert", Task.TEXT_CLASSIFICATION, quantize=True, keep_fp32=True)
    predictor = bertedge.load(report.output)
    with pytest.raises(SettingError, match="--task feature-extraction"):
        predictor.embed(TEXTS)


def test_the_commands_export_evaluate_and_predict(
    encoder: Callable[[str], Path], pairs: Path, tmp_path: Path
) -> None:
    def run(*arguments: str | Path, code: int = 0) -> str:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.stderr
        return result.stdout if code == 0 else result.stderr

    folder, output = encoder("bert"), tmp_path / "out"
    task = ("--task", "feature-extraction")
    shown = run("export", folder, "--output", output, *task, "--eval-data", pairs)
    assert "Spearman" in shown and "100.00%" in shown
    assert "the mean of its tokens, normalized" in run("inspect", output)
    one = run("evaluate", folder, *task, "--data", pairs, "--json", "--device", "cpu")
    other = run("evaluate", output, "--data", pairs, "--json")
    assert json.loads(one)["scores"] == pytest.approx(json.loads(other)["scores"], abs=1e-5)
    row = json.loads(run("predict", output, "good hotel"))
    assert list(row) == ["text", "values", "truncated"] and len(row["values"]) == 32
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("bad\ngood hotel\nparis\n")
    row = json.loads(run("predict", output, "good hotel", "--against", corpus, "--top-k", "2"))
    assert row["similar"][0] == {"text": "good hotel", "score": pytest.approx(1, abs=1e-5)}
    assert len(row["similar"]) == 2
    assert "nothing to score" in run("evaluate", output, "--data", corpus)
    assert "states its task" in run("evaluate", output, *task, "--data", pairs, code=1)
    refused = run("finetune", *task, "--model", folder, "--train", pairs, "--output", "x", code=1)
    assert "needs no training" in refused and refused.count("\n") == 1


def test_an_older_bundle_has_no_pooling() -> None:
    tiny = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
    assert open_bundle(tiny).manifest.model.pooling is None
