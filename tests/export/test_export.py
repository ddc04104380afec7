import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import transformers

import bertedge
from bertedge.bundle import hash_file, open_bundle
from bertedge.checkpoint import TorchEngine, load_model, open_checkpoint
from bertedge.data import Columns, open_examples
from bertedge.errors import (
    CheckpointError,
    DataError,
    OutputError,
    SettingError,
    VerificationError,
)
from bertedge.evaluation import TextModel, evaluate
from bertedge.export import ExportConfig, ExportReport, export, run
from bertedge.export.parity_inputs import SENTENCES
from bertedge.metrics import agreement
from bertedge.predictions import Classification, Entities
from bertedge.spec import Task

KINDS = ("bert", "roberta", "distilbert", "electra")
TEXTS = ["anna met the hotel in berlin", "no", "not very good, the plot: bad!", *SENTENCES]


class Said:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def start(self, what: str, total: int | None, unit: str) -> None: ...

    def advance(self, by: int, note: str = "") -> None: ...

    def finish(self) -> None: ...


def make(checkpoint: Path, output: Path, **settings: Any) -> ExportReport:
    return export(ExportConfig(checkpoint=str(checkpoint), output=output, **settings))


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Path]:
    """Where a bundle goes; nothing else may be beside it in the end."""
    place = tmp_path / "place"
    place.mkdir()
    yield place / "bundle"
    assert {path.name for path in place.iterdir()} <= {"bundle"}


@pytest.fixture(scope="session")
def bundles(exported: Callable[..., ExportReport]) -> Callable[[str, Task], Path]:
    """Export (once) an architecture and task, both variants."""
    return lambda kind, task: exported(kind, task, quantize=True, keep_fp32=True).output


@pytest.mark.parametrize("kind", KINDS)
def test_text_labels_are_the_checkpoints_in_both_variants(
    kind: str, checkpoints: Any, bundles: Any
) -> None:
    expected = predict_in_torch(checkpoints(kind, Task.TEXT_CLASSIFICATION), TEXTS)
    for variant, off in (("cpu-fp32", 1e-5), ("cpu-int8", 0.15)):
        found = bertedge.load(
            bundles(kind, Task.TEXT_CLASSIFICATION), device="cpu", variant=variant, threads=1
        ).predict(TEXTS)
        assert all(isinstance(each, Classification) for each in found)
        scores = np.array([list(each.scores.values()) for each in found])
        np.testing.assert_allclose(scores, expected, atol=off)


@pytest.mark.parametrize("kind", KINDS)
def test_token_labels_are_the_checkpoints_in_both_variants(
    kind: str, checkpoints: Any, bundles: Any, tmp_path: Path
) -> None:
    folder = checkpoints(kind, Task.TOKEN_CLASSIFICATION)
    bundle = bundles(kind, Task.TOKEN_CLASSIFICATION)
    manifest = open_bundle(bundle).manifest
    assert manifest.model.labels[0] == "O"
    opened = open_checkpoint(str(folder))
    data = tmp_path / "data.conll"
    sentences = [text.split() for text in TEXTS]
    data.write_text("\n\n".join("\n".join(f"{word}\tO" for word in s) for s in sentences) + "\n")
    examples = open_examples(data, Task.TOKEN_CLASSIFICATION, Columns(separator="\t"))
    engine = TorchEngine(load_model(opened))
    gold = evaluate(TextModel.of(opened.model, opened.tokenizer_json, engine), examples)
    for variant, least in (("cpu-fp32", 1.0), ("cpu-int8", 0.85)):
        predictor = bertedge.load(bundle, device="cpu", variant=variant, threads=1)
        assert isinstance(predictor.predict_one(TEXTS[0]), Entities)
        labeller = TextModel.of(manifest.model, opened.tokenizer_json, predictor.engine)
        assert agreement(gold.predicted, evaluate(labeller, examples).predicted) >= least


def test_the_manifest_says_what_was_made_and_measured(checkpoints: Any, bundles: Any) -> None:
    folder = checkpoints("bert", Task.TEXT_CLASSIFICATION)
    manifest = open_bundle(bundles("bert", Task.TEXT_CLASSIFICATION)).manifest
    int8, fp32 = manifest.variants
    assert (int8.name, int8.precision, int8.accuracy) == ("cpu-int8", "int8", None)
    assert (fp32.name, fp32.precision) == ("cpu-fp32", "fp32")
    assert int8.providers == fp32.providers == ("CPUExecutionProvider",)
    assert int8.disabled_optimizers == fp32.disabled_optimizers == ("SkipLayerNormFusion",)
    assert passes(fp32) == {
        "attention-fusion": 3,
        "gelu-fusion": 3,
        "layer-normalization": 7,
        "cls-only-last-layer": 10,
        "token-types-folded": 2,
        "optimized-ahead": 1,
        "no-mask-without-padding": 3,
    }
    known = passes(fp32) | {
        "int8-matrix-products": 14,
        "int8-embedding-rows": 2,
        "weights-rounded-together": 14,
        "int8-products-fused": 11,  # the attentions' own products are part of QAttention
        "bias-in-product": 3,
        "optimized-ahead": passes(int8)["optimized-ahead"],
    }
    assert known.items() <= passes(int8).items()
    more = {"static-scales", "outlier-units-apart", "outlier-channels-divided"}
    assert "static-scales" in passes(int8) and passes(int8).keys() <= known.keys() | more
    assert fp32.parity.max_difference < 1e-6
    assert (fp32.parity.tolerance, int8.parity.tolerance) == (1e-4, 0.5)
    assert 1e-6 < int8.parity.max_difference < 0.15
    assert int8.bytes < fp32.bytes
    assert manifest.model.labels == ("bad", "fair", "good")
    assert (manifest.model.max_length, manifest.model.pad_token_id, manifest.model.pair) == (
        64,
        0,
        False,
    )
    assert manifest.source.sha256 == hash_file(folder / "model.safetensors")
    assert manifest.versions["transformers"] == transformers.__version__
    assert manifest.created.endswith("+00:00")


def test_without_quantize_there_is_the_fp32_variant_alone(checkpoints: Any, output: Path) -> None:
    report = make(checkpoints("bert"), output, opset=18)
    assert [variant.name for variant in report.manifest.variants] == ["cpu-fp32"]
    assert sorted(path.name for path in output.iterdir()) == [
        "bertedge.json",
        "cpu-fp32-unpadded.onnx",
        "cpu-fp32.onnx",
        "cpu-fp32.weights",
        "tokenizer.json",
    ]
    graph = onnx.load(output / "cpu-fp32.onnx")
    assert {each.domain: each.version for each in graph.opset_import}[""] == 18
    assert [each.name for each in graph.graph.output] == ["logits"]
    assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert graph.graph.input[0].type.tensor_type.shape.dim[1].dim_param


def test_two_exports_give_the_same_graphs(checkpoints: Any, bundles: Any, output: Path) -> None:
    task = Task.TEXT_CLASSIFICATION
    one = open_bundle(bundles("bert", task)).manifest
    report = make(checkpoints("bert", task), output, quantize=True, keep_fp32=True)
    other = report.manifest
    assert open_bundle(output).manifest.variants == other.variants
    assert [v.model.sha256 for v in one.variants] == [v.model.sha256 for v in other.variants]
    assert one.golden == other.golden


def test_no_path_of_this_machine_is_in_the_bundle(bundles: Any) -> None:
    output = bundles("bert", Task.TEXT_CLASSIFICATION)
    for path in output.iterdir():
        content = path.read_bytes()
        assert b"/pytest-" not in content
        assert b"site-packages" not in content


def test_labelled_data_measures_both_variants(checkpoints: Any, output: Path, data: Path) -> None:
    said = Said()
    config = ExportConfig(
        checkpoint=str(checkpoints("bert")),
        output=output,
        quantize=True,
        keep_fp32=True,
        eval_data=data,
        max_drop=100.0,
        min_agreement=0.0,
    )
    report = export(config, said)
    int8, fp32 = (variant.accuracy for variant in report.manifest.variants)
    assert fp32 is not None
    assert int8 is not None
    assert (fp32.agreement, fp32.variant, fp32.rows) == (1.0, fp32.checkpoint, len(TEXTS))
    assert (fp32.data, fp32.sha256) == ("data.csv", hash_file(data))
    assert int8.agreement >= 0.8
    assert report.manifest.variants[0].parity.tolerance is None
    assert any("agreement 100.00%" in line for line in said.lines)


def test_a_pair_checkpoint_has_golden_pairs(checkpoints: Any, output: Path) -> None:
    manifest = make(checkpoints("bert"), output, quantize=True, pair=True).manifest
    assert manifest.model.pair
    assert {len(texts) for texts in manifest.golden.texts} == {2}
    predictor = bertedge.load(output, device="cpu", threads=1)
    assert isinstance(predictor.predict_one(("no", "very good")), Classification)


def test_a_drop_beyond_the_budget_writes_nothing(
    checkpoints: Any, output: Path, data: Path
) -> None:
    with pytest.raises(VerificationError, match="--max-drop is -100"):
        make(
            checkpoints("bert"),
            output,
            quantize=True,
            recipe="dynamic",
            eval_data=data,
            max_drop=-100.0,
        )
    assert not output.exists()


def test_a_failure_keeps_the_bundle_that_was_there(
    checkpoints: Any, bundles: Any, output: Path, data: Path
) -> None:
    shutil.copytree(bundles("bert", Task.TEXT_CLASSIFICATION), output)
    before = open_bundle(output).manifest
    with pytest.raises(VerificationError):
        make(checkpoints("bert"), output, eval_data=data, max_drop=-100.0, overwrite=True)
    assert open_bundle(output).manifest == before


def test_an_existing_output_is_refused_before_any_work(checkpoints: Any, output: Path) -> None:
    output.mkdir()
    with pytest.raises(OutputError, match="--overwrite"):
        make(Path("not even looked at"), output)
    assert list(output.iterdir()) == []
    make(checkpoints("bert"), output, overwrite=True)
    assert open_bundle(output).manifest.variants


def test_a_pass_that_is_not_exact_stops_the_export(
    checkpoints: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(model: ir.Model, *, pair: bool) -> tuple[()]:
        norm = [node for node in model.graph if node.op_type == "LayerNormalization"][-1]
        norm.replace_input_with(2, norm.inputs[1])
        return ()

    monkeypatch.setattr(run, "run_passes", spoil)
    with pytest.raises(VerificationError, match=r"cpu-fp32 does not give .* 0\.0001 is tolerated"):
        make(checkpoints("bert"), output)
    assert not output.exists()


def test_a_tolerance_below_rounding_is_refused_with_the_figure(
    checkpoints: Any, output: Path
) -> None:
    with pytest.raises(VerificationError, match="1e-12 is tolerated"):
        make(checkpoints("bert"), output, tolerance=1e-12)


def test_what_the_checkpoint_cannot_be_is_refused(checkpoints: Any, output: Path) -> None:
    with pytest.raises(CheckpointError):
        make(checkpoints("bert"), output, task=Task.TOKEN_CLASSIFICATION)
    with pytest.raises(SettingError, match="--pair"):
        make(checkpoints("bert", Task.TOKEN_CLASSIFICATION), output, pair=True)


def test_a_label_that_the_model_lacks_is_named(
    checkpoints: Any, output: Path, tmp_path: Path
) -> None:
    data = tmp_path / "odd.csv"
    data.write_text("text,label\nno,bad\nyes,splendid\n")
    with pytest.raises(DataError, match=r"odd\.csv:3: .*'splendid'"):
        make(checkpoints("bert"), output, eval_data=data)


def test_weights_beyond_one_file_are_refused_at_once(
    checkpoints: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertedge.export.graph.source.LARGEST_FILE", 1000)
    with pytest.raises(CheckpointError, match=r"parameters, 0\.0 GB in fp32"):
        make(checkpoints("bert"), output)


def test_an_interrupt_leaves_nothing(
    checkpoints: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        assert any(output.parent.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "search_recipe", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(checkpoints("bert"), output, quantize=True)


def test_after_a_kill_the_next_run_tidies_up(
    checkpoints: Any, output: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    program = (
        "import os, signal; from pathlib import Path\n"
        "from bertedge.export import ExportConfig, export, run\n"
        "run.search_recipe = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"export(ExportConfig(checkpoint={str(checkpoints('bert'))!r}, "
        f"output=Path({str(output)!r}), quantize=True))"
    )
    environment = os.environ | {"TMPDIR": str(temporary)}
    killed = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists()
    # onnxruntime's own session file is 51 bytes; a model's copy would be a folder.
    assert {path.name for path in temporary.iterdir()} <= {".ses"}
    assert any(output.parent.iterdir())
    make(checkpoints("bert"), output)


def test_a_missing_library_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['transformers'] = None\n"
        "from bertedge.errors import MissingExtraError\n"
        "try:\n    from bertedge.export import export\n"
        "except MissingExtraError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'bertedge[export]'" in done.stdout


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    rows = [f'"{text}",{("bad", "fair", "good")[i % 3]}' for i, text in enumerate(TEXTS)]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


def passes(variant: Any) -> dict[str, int]:
    return {each.name: each.nodes for each in variant.passes}


def predict_in_torch(folder: Path, texts: list[str]) -> np.ndarray:
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    if folder.name.startswith(("distilbert", "roberta")):
        inputs.pop("token_type_ids", None)
    with torch.no_grad():
        return torch.softmax(model(**inputs).logits, dim=1).numpy()
