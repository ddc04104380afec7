"""Label sets of one and of a thousand, from labelled file to prediction."""

from pathlib import Path

import pytest

import bertedge
from bertedge.export import ExportConfig, export
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import finetune
from bertedge.predictions import Classification, MultiLabelClassification
from bertedge.progress import Silent
from bertedge.spec import ProblemType, Task


def config(base: Path, train: Path, output: Path, problem_type: ProblemType) -> FinetuneConfig:
    return FinetuneConfig(
        task=Task.TEXT_CLASSIFICATION,
        model=str(base),
        train=train,
        output=output,
        problem_type=problem_type,
        epochs=1,
    )


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return path


def test_one_label_that_a_text_may_lack_is_learnt(base: Path, tmp_path: Path) -> None:
    train = write(tmp_path / "one.csv", [("a red apple", "fruit"), ("see paris", "")] * 8)
    output = tmp_path / "out"
    finetune(config(base, train, output, ProblemType.MULTI_LABEL), Silent())
    export(ExportConfig(checkpoint=str(output), output=tmp_path / "bundle"))
    found = bertedge.load(tmp_path / "bundle", device="cpu", threads=1).predict_one("a red apple")
    assert isinstance(found, MultiLabelClassification) and list(found.scores) == ["fruit"]


def test_a_thousand_labels_keep_their_order_to_the_prediction(base: Path, tmp_path: Path) -> None:
    names = [f"label {number:03}" for number in range(1000)]
    train = write(tmp_path / "many.csv", [("take one old grape", name) for name in names])
    output = tmp_path / "out"
    finetune(config(base, train, output, ProblemType.SINGLE_LABEL), Silent())
    report = export(
        ExportConfig(
            checkpoint=str(output),
            output=tmp_path / "bundle",
            quantize=True,
            keep_fp32=True,
            recipe="dynamic",
        )
    )
    assert report.manifest.model.labels == tuple(names)
    for variant in ("cpu-int8", "cpu-fp32"):
        predictor = bertedge.load(tmp_path / "bundle", device="cpu", threads=1, variant=variant)
        found = predictor.predict_one("take one old grape")
        assert isinstance(found, Classification) and list(found.scores) == names
        assert sum(found.scores.values()) == pytest.approx(1, abs=1e-4)
        assert found.score == max(found.scores.values()) == found.scores[found.label]
