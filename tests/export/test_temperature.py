"""`export --calibrate`: scores of a finished checkpoint that fit its labelled data."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertedge
from bertedge.errors import SettingError
from bertedge.export import ExportConfig, export
from bertedge.predictions import Classification
from bertedge.spec import Task

WORDS = ("the", "in", "not", "good", "bad", "very", "berlin", "paris", "anna", "met", "hotel", "no")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Labels at random: a model that is sure of any is too sure."""
    random = np.random.default_rng(0)
    path = tmp_path / "data.csv"
    texts = [" ".join(random.choice(WORDS, random.integers(1, 12))) for _ in range(120)]
    rows = [f"{text},{random.choice(['bad', 'fair', 'good'])}" for text in texts]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def test_a_finished_checkpoint_gets_a_temperature_and_keeps_its_labels(
    checkpoints: Any, data: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"checkpoint": str(checkpoints("bert")), "eval_data": data}
    plain = export(ExportConfig(output=tmp_path / "plain", **settings))
    warm = export(ExportConfig(output=tmp_path / "warm", calibrate=True, **settings))
    assert plain.calibration is None
    assert warm.calibration is not None and warm.calibration.calibrated < warm.calibration.raw
    decision = warm.manifest.model.rule
    assert decision.temperature == warm.calibration.temperature > 1
    texts = [line.partition(",")[0] for line in data.read_text().splitlines()[1:]]
    one, other = (bertedge.load(tmp_path / name).predict(texts) for name in ("plain", "warm"))
    for before, after in zip(one, other, strict=True):
        assert isinstance(before, Classification) and isinstance(after, Classification)
        assert before.label == after.label
        assert after.score < before.score


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (Task.TEXT_CLASSIFICATION, "--calibrate needs labelled data; give --eval-data"),
        (Task.TOKEN_CLASSIFICATION, "--calibrate is for labels of texts"),
        (Task.FEATURE_EXTRACTION, "--calibrate is for labels of texts"),
    ],
)
def test_what_has_nothing_to_calibrate_is_refused(
    task: Task, words: str, checkpoints: Any, tmp_path: Path
) -> None:
    config = ExportConfig(
        checkpoint=str(checkpoints("bert", task)),
        output=tmp_path / "bundle",
        task=task,
        calibrate=True,
    )
    with pytest.raises(SettingError, match=words):
        export(config)
    assert not (tmp_path / "bundle").exists()
