"""A checkpoint that fills masks, from export to prediction, against transformers' own pipeline."""

import json
from pathlib import Path

import onnx
import pytest
import torch
import transformers
from click.testing import CliRunner

import bertedge
from bertedge.cli import main
from bertedge.errors import DataError, SettingError
from bertedge.export import ExportConfig, ExportReport, export
from bertedge.predictions import FilledMasks
from bertedge.spec import Task

TEXTS = [
    "see the [MASK] plum here",
    "[MASK] old red [MASK] there.",
    "take one very very old grape " * 3 + "[MASK]",
]


@pytest.fixture(scope="module")
def checkpoint(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, spread so that answers differ."""
    folder = tmp_path_factory.mktemp("mlm") / "filler"
    torch.manual_seed(1)
    config = transformers.BertConfig.from_pretrained(base, initializer_range=0.3)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlm-text") / "text.txt"
    path.write_text("see the old plum\n\ntake one red grape here\nvery new green pear\n" * 30)
    return path


@pytest.fixture(scope="module")
def report(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    output = tmp_path_factory.mktemp("bundles") / "filler"
    return export(ExportConfig(checkpoint=str(checkpoint), output=output))


def test_the_bundle_fills_masks_as_transformers_pipeline_does(
    checkpoint: Path, report: ExportReport
) -> None:
    assert report.manifest.model.task is Task.FILL_MASK and report.manifest.model.labels == ()
    pipeline = transformers.pipeline("fill-mask", model=str(checkpoint))
    predictor = bertedge.load(report.output)
    for text, filled in zip(TEXTS, predictor.predict(TEXTS), strict=True):
        assert isinstance(filled, FilledMasks) and not filled.truncated
        expected = pipeline(text)
        expected = expected if isinstance(expected[0], list) else [expected]
        assert len(filled.masks) == len(expected)
        for found, wanted in zip(filled.masks, expected, strict=True):
            assert [fill.token for fill in found] == [each["token_str"] for each in wanted]
            assert [fill.token_id for fill in found] == [each["token"] for each in wanted]
            scores = [each["score"] for each in wanted]
            assert [fill.score for fill in found] == pytest.approx(scores, abs=1e-4)


def test_top_k_says_how_many_tokens_a_mask_gets(report: ExportReport) -> None:
    predictor = bertedge.load(report.output)
    filled = predictor.predict_one(TEXTS[0], top_k=2)
    assert isinstance(filled, FilledMasks)
    assert [len(fills) for fills in filled.masks] == [2]
    with pytest.raises(SettingError, match="top_k is 0"):
        predictor.predict_one(TEXTS[0], top_k=0)


def test_a_text_without_a_mask_is_named(report: ExportReport) -> None:
    predictor = bertedge.load(report.output)
    with pytest.raises(DataError, match=r"text 1 has no \[MASK\]"):
        predictor.predict([TEXTS[0], "see the plum"])


def test_a_mask_beyond_what_the_model_reads_is_left_out(report: ExportReport) -> None:
    filled = bertedge.load(report.output).predict_one("see " * 100 + "[MASK]")
    assert filled == FilledMasks(masks=(), truncated=True)


def test_int8_has_one_scale_a_row_of_the_tied_table_and_is_measured_by_hidden_words(
    checkpoint: Path, text: Path, tmp_path: Path
) -> None:
    config = ExportConfig(
        checkpoint=str(checkpoint),
        output=tmp_path / "int8",
        quantize=True,
        eval_data=text,
        max_drop=100.0,
        min_agreement=0.5,
    )
    variant = export(config).manifest.variants[0]
    assert variant.precision == "int8" and variant.accuracy is not None
    assert variant.accuracy.metric == "masked_accuracy" and variant.accuracy.rows == 90
    assert variant.accuracy.agreement > 0.5
    graph = onnx.load(tmp_path / "int8" / variant.model.file).graph
    vocabulary = report_size(checkpoint)
    shapes = {
        tuple(tensor.dims): tensor.data_type
        for tensor in graph.initializer
        if vocabulary in tensor.dims and len(tensor.dims) == 2 and 1 not in tensor.dims
    }
    # The lookup's rows and the head's columns: both int8, no copy in float is left.
    assert shapes == {
        (vocabulary, 32): onnx.TensorProto.INT8,
        (32, vocabulary): onnx.TensorProto.INT8,
    }


def report_size(checkpoint: Path) -> int:
    return int(json.loads((checkpoint / "config.json").read_text())["vocab_size"])


def test_the_commands_export_evaluate_and_predict(
    checkpoint: Path, text: Path, tmp_path: Path
) -> None:
    def run(*arguments: str | Path) -> str:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    output = tmp_path / "bundle"
    shown = run("export", checkpoint, "--output", output, "--eval-data", text)
    assert "accuracy by hidden word" in shown and "100.00%" in shown
    one, other = (
        json.loads(run("evaluate", model, "--data", text, "--json", "--device", "cpu"))["scores"]
        for model in (checkpoint, output)
    )
    assert one["metric"] == "masked_accuracy"
    assert one["perplexity"] == pytest.approx(other["perplexity"], rel=1e-3)
    assert "perplexity" in run("evaluate", output, "--data", text)
    row = json.loads(run("predict", output, TEXTS[0], "--top-k", "3"))
    assert row["text"] == TEXTS[0] and len(row["masks"]) == 1 and len(row["masks"][0]) == 3
    assert set(row["masks"][0][0]) == {"token", "score"}
