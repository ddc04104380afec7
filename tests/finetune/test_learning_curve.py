"""Shares of a training file: what they are trained with, and that they go on after a kill."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bertedge import serialization
from bertedge.checkpoint import TRAINING, Training
from bertedge.checkpoint.training import read_training
from bertedge.cli import main
from bertedge.data import ExampleFile, open_examples
from bertedge.data.folds import select_rows
from bertedge.data.split import split
from bertedge.errors import BertedgeError, StoppedError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.learning_curve import plan_shares, train_shares
from bertedge.finetune.run import finetune
from bertedge.progress import Silent
from bertedge.report.learning_curve import gain_of_twice
from bertedge.spec import Task

ROWS = 240
"""Of which a tenth is held out as dev data."""


class Watched(Silent):
    """Counts training steps and sends this process a signal after so many."""

    def __init__(self, step: int | None = None) -> None:
        self.step, self.training, self.steps = step, False, 0

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        self.training = what.rsplit(", ", 1)[-1] == "training"

    def advance(self, by: int, note: str = "") -> None:
        self.steps += by * self.training
        if self.training and self.steps == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def trained(base: Path, texts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose learning rate was given, and all else chosen by the data."""
    folder = tmp_path_factory.mktemp("trained")
    lines = texts["train"].read_text().splitlines()[: ROWS + 1]
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    config = FinetuneConfig(
        task=Task.TEXT_CLASSIFICATION, train=folder / "train.csv", model=str(base),
        output=folder / "mine", learning_rate=2e-3,
    )  # fmt: skip
    finetune(config, Silent())
    return folder / "mine"


@pytest.fixture(scope="module")
def examples(texts: dict[str, Path]) -> ExampleFile:
    return open_examples(texts["dev"], Task.TEXT_CLASSIFICATION)


def test_shares_have_the_given_settings_their_own_defaults_and_go_on_after_a_kill(
    trained: Path, base: Path, examples: ExampleFile, tmp_path: Path
) -> None:
    folder, whole = tmp_path / "curve", record_of(trained)
    first = Watched()
    killed = train_shares(plan_shares(str(trained), folder, str(base)), examples, first)
    next(killed)
    first.step = first.steps + 5
    with pytest.raises(StoppedError, match="the same command goes on"):
        list(killed)
    second = Watched()
    shares = list(train_shares(plan_shares(str(trained), folder, str(base)), examples, second))
    rows = [each.rows for each in shares]
    assert rows == pytest.approx([whole.train.rows / 8 * part for part in (1, 2, 4)], abs=8)
    expected = 0.0
    for share in shares:
        found = record_of(folder / f"rows-{share.rows}")
        assert found.train.rows == share.rows and found.dev == moved(whole, found)
        assert found.settings["learning_rate"] == whole.settings["learning_rate"]
        assert found.settings["batch_size"] == 8 < int(str(whole.settings["batch_size"]))
        own = {"rule": found.model.rule, "classifier_pooling": found.model.classifier_pooling}
        assert found.model == replace(whole.model, **own)  # what fewer rows chose may differ
        assert share.per_text.shape == (80, 2)
        expected += found.epochs * -(-share.rows // 8)
    assert first.steps + second.steps == expected  # no step is trained again
    third = Watched()
    again = list(train_shares(plan_shares(str(trained), folder, str(base)), examples, third))
    assert third.steps == 0 and [each.rows for each in again] == rows


def record_of(folder: Path) -> Training:
    found = read_training(folder)
    assert found is not None
    return found


def moved(whole: Training, share: Training) -> Any:
    """The dev data of the whole, as seen from the share's folder."""
    assert whole.dev is not None and share.dev is not None
    return replace(whole.dev, path=share.dev.path)


def test_rows_are_chosen_of_a_side_of_a_file(texts: dict[str, Path]) -> None:
    sides = split(open_examples(texts["train"], Task.TEXT_CLASSIFICATION), 0.25, 0)
    assert sides is not None
    lines = [each.line for each in sides.held_out]
    chosen = np.arange(len(lines)) % 3 == 0
    assert [each.line for each in select_rows(sides.held_out, chosen)] == lines[::3]


def test_twice_the_rows_leave_what_the_power_law_says() -> None:
    rows = np.array([100, 200, 400, 800])
    values = np.array([[0.1], [1 - 0.4], [1 - 0.4 / 2**0.5], [1 - 0.2]])  # the first is not fitted
    assert gain_of_twice(rows, values, 1e-3) == pytest.approx([0.2 * (1 - 2**-0.5)])
    for flat in ([0.7, 0.7, 0.7, 0.7], [0.1, 0.5, 0.9, 0.9]):
        assert gain_of_twice(rows, np.array(flat)[:, None], 1e-3) == pytest.approx([0])


def test_what_has_no_learning_curve_is_refused_in_one_line(
    trained: Path, base: Path, texts: dict[str, Path], text_bundle: Path, text_checkpoint: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    def said(model: Path, *more: object, data: Path = texts["dev"]) -> str:
        curve = ("--learning-curve", tmp_path / "curve", "--no-robustness")
        typed = ["report", model, "--data", data, *curve, *more]
        result = CliRunner().invoke(main, [str(each) for each in typed])
        assert result.exit_code == 1 and result.stdout == ""
        error = result.stderr.splitlines()[-1]
        assert error.startswith("Error: ") and len(error) <= 307
        assert not (tmp_path / "curve").exists()
        return error

    assert "is a bundle" in said(text_bundle)
    assert "give --base DIR" in said(trained)
    assert "needs other rows" in said(trained, data=trained.parent / "train.csv")
    wrong = said(trained, "--base", base, "--train", texts["train"])
    assert "is not the file that" in wrong
    for fields, why in (
        ({"settings": {"teacher": ["x"]}}, "was distilled"),
        ({"train": {"sha256": "0" * 64}}, "has changed since the training"),
        ({"train": {"rows": 40}}, "has 40 rows"),
    ):
        assert why in said(changed(trained, tmp_path / "other", fields), "--base", base)
    with pytest.raises(BertedgeError, match=r"has no training\.json"):
        plan_shares(str(text_checkpoint), tmp_path / "curve", str(base))
    (tmp_path / "curve").mkdir()
    (tmp_path / "curve" / "mine.txt").write_text("")
    with pytest.raises(BertedgeError, match="no learning curve's folder"):
        plan_shares(str(trained), tmp_path / "curve", str(base))
    assert [path.name for path in (tmp_path / "curve").iterdir()] == ["mine.txt"]


def changed(checkpoint: Path, copy: Path, fields: dict[str, dict[str, Any]]) -> Path:
    """A checkpoint beside the other, with fields of its record changed."""
    copy = checkpoint.parent / copy.name
    copy.mkdir(exist_ok=True)
    for path in checkpoint.iterdir():
        if path.name != TRAINING and not (copy / path.name).exists():
            (copy / path.name).symlink_to(path)
    data = json.loads((checkpoint / TRAINING).read_text())
    for name, values in fields.items():
        data[name] |= values
    (copy / TRAINING).write_text(serialization.to_json(data))
    return copy
