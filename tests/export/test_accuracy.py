from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertedge import serialization
from bertedge.bundle import Accuracy, hash_file
from bertedge.checkpoint import Checkpoint, DataFile, Training, open_checkpoint
from bertedge.data import Columns, open_examples
from bertedge.errors import DataError, SettingError, VerificationError
from bertedge.evaluation import Evaluation
from bertedge.export.accuracy import (
    ReferenceEvaluation,
    check_drop,
    compare,
    exceeds,
    find_eval_data,
)
from bertedge.export.config import ExportConfig
from bertedge.export.verify import rms
from bertedge.metrics import classification_scores
from bertedge.spec import Task


@pytest.fixture
def checkpoint(checkpoints: Any) -> Checkpoint:
    return open_checkpoint(str(checkpoints("bert")))


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    path = tmp_path / "dev.csv"
    path.write_text("review;stars\nnot good;bad\nvery good;good\n")
    return path


@pytest.fixture
def trained(training_record: Callable[..., Training]) -> Callable[..., Checkpoint]:
    """Give a checkpoint a record of its training on a file, which is its dev file too."""

    def record(checkpoint: Checkpoint, dev: Path, *, pair: bool = False) -> Checkpoint:
        columns = Columns(text="review", label="stars", separator=";")
        file = DataFile(path=str(dev), sha256=hash_file(dev), rows=2, columns=columns)
        model = replace(checkpoint.model, pair=pair)
        training = training_record(model, file, dev=file)
        assert serialization.from_plain(Training, serialization.to_plain(training)) == training
        return replace(checkpoint, training=training, model=model)

    return record


def settings(**changes: Any) -> ExportConfig:
    return ExportConfig(checkpoint="x", output=Path("y"), **changes)


def test_the_dev_file_of_the_training_is_used_as_it_was_read(
    trained: Callable[..., Checkpoint], checkpoint: Checkpoint, dev: Path
) -> None:
    data = find_eval_data(settings(), trained(checkpoint, dev))
    assert data.examples is not None
    assert [(e.text, e.label) for e in data.examples] == [
        ("not good", "bad"),
        ("very good", "good"),
    ]
    assert str(dev) in data.note


def test_a_dev_file_that_changed_is_not_used(
    trained: Callable[..., Checkpoint], checkpoint: Checkpoint, dev: Path
) -> None:
    opened = trained(checkpoint, dev)
    dev.write_text(dev.read_text() + "plot;fair\n")
    data = find_eval_data(settings(), opened)
    assert data.examples is None
    assert "has changed" in data.note
    assert "accuracy was not measured; give --eval-data" in data.note


def test_a_dev_file_that_is_gone_is_not_missed_silently(
    trained: Callable[..., Checkpoint], checkpoint: Checkpoint, dev: Path
) -> None:
    opened = trained(checkpoint, dev)
    dev.unlink()
    data = find_eval_data(settings(), opened)
    assert data.examples is None
    assert f"{dev.name} is not there any more" in data.note
    assert "accuracy was not measured" in data.note


def test_a_checkpoint_made_elsewhere_records_none(checkpoint: Checkpoint) -> None:
    data = find_eval_data(settings(), checkpoint)
    assert data.examples is None
    assert "accuracy was not measured" in data.note


def test_the_file_given_wins(
    trained: Callable[..., Checkpoint], checkpoint: Checkpoint, dev: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("text,label\nno,bad\n")
    data = find_eval_data(settings(eval_data=other), trained(checkpoint, dev))
    assert data.examples is not None
    assert data.examples.path == other


def test_a_file_given_that_is_missing_is_an_error(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        find_eval_data(settings(eval_data=tmp_path / "none.csv"), checkpoint)


def test_pairs_are_read_where_the_user_says_so(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("one\ttwo\tlabel\nno\tvery\tbad\n")
    columns = Columns(text="one", pair="two")
    data = find_eval_data(settings(eval_data=path, columns=columns), checkpoint)
    assert data.examples is not None
    assert data.examples.pair


def labelling(predicted: list[int]) -> Evaluation:
    gold = np.array([0, 0, 1, 1])
    found = np.array(predicted)
    scores = classification_scores(gold, found, ("a", "b"))
    return Evaluation(scores=scores, predicted=found, rows=4, truncated=0, seconds=0.1)


def test_metric_and_agreement_are_put_side_by_side(dev: Path) -> None:
    examples = open_examples(
        dev, Task.TEXT_CLASSIFICATION, Columns(separator=";", text="review", label="stars")
    )
    exact = np.array([[0.0, 4.0], [1.0, 3.0]], np.float32)
    evaluated = ReferenceEvaluation(
        examples=examples, sha256="0" * 64, result=labelling([0, 0, 1, 0]), logits=exact
    )
    assert rms(exact, exact + np.float32(0.4)) == pytest.approx(0.1)
    found = compare(evaluated, labelling([0, 1, 0, 0]))
    assert (found.metric, found.checkpoint, found.variant) == ("accuracy", 0.75, 0.25)
    assert found.agreement == 0.5
    assert (found.data, found.rows) == ("dev.csv", 4)


def lost(points: float, rows: int = 1000) -> Accuracy:
    return Accuracy(
        data="dev.csv",
        sha256="0" * 64,
        rows=rows,
        metric="accuracy",
        checkpoint=0.9,
        variant=0.9 - points / 100,
        agreement=0.96,
    )


def test_a_drop_within_the_budget_passes() -> None:
    check_drop("cpu-fp32", lost(0.99), 1.0)
    check_drop("cpu-fp32", lost(-2), 0.0)


@pytest.mark.parametrize(
    ("points", "max_drop", "significant", "refused"),
    [
        (2.5, 1.0, True, True),
        (2.5, 1.0, None, True),
        (2.5, 1.0, False, False),
        (0.5, 1.0, True, False),
        (2.5, 0.0, False, False),
        (-1.0, -2.0, False, True),  # a gain was asked for
    ],
)
def test_a_drop_within_chance_is_none(
    points: float, max_drop: float, significant: bool | None, refused: bool
) -> None:
    accuracy = replace(lost(points), significant=significant)
    assert exceeds(accuracy, max_drop) == refused


def test_a_drop_beyond_the_budget_is_refused_with_what_to_try() -> None:
    with pytest.raises(VerificationError) as caught:
        check_drop("cpu-fp32", lost(2.5), 1.0)
    message = str(caught.value)
    assert (
        "loses 2.50 points of accuracy on dev.csv: 0.8750 against the checkpoint's 0.9000"
        in message
    )
    assert "96.00%" in message
    assert "--max-drop is 1;" in message
    assert "--max-drop 2.6" in message
    assert "more than these" not in message
    assert "\n" not in message


def test_few_rows_are_named_as_a_cause() -> None:
    with pytest.raises(VerificationError, match="more than these 40 rows"):
        check_drop("cpu-fp32", lost(2.5, rows=40), 1.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"opset": 12}, "opset is 12; choose one of 17, 18"),
        ({"tolerance": 0.0}, "tolerance is 0.0; it must be above 0"),
        ({"tolerance": float("nan")}, "tolerance is nan; it must be a finite"),
        ({"max_drop": float("nan")}, "max_drop is nan; it must be a finite"),
        ({"columns": Columns(text="a")}, "--eval-data"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        settings(**changes)
