"""Cross-validation: each row is predicted by a model that has not seen it."""

import json
import math
import os
import shutil
import signal
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bertedge.checkpoint import open_checkpoint
from bertedge.checkpoint.training import read_training
from bertedge.cli.scores import render_folds
from bertedge.errors import SettingError, StoppedError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.folds import mean_epochs
from bertedge.finetune.run import finetune
from bertedge.progress import Silent
from bertedge.serialization import from_plain
from bertedge.spec import Task

FOLDS = 3
STEPS = 10
"""Of a fold: two epochs of 40 rows, 8 a batch."""


class Stop(Silent):
    """Sends this process a signal after so many training steps, over all trainings; counts them."""

    def __init__(self, step: int | None = None) -> None:
        self.step, self.training, self.steps = step, False, 0

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        self.training = "training" in what

    def advance(self, by: int, note: str = "") -> None:
        self.steps += by * self.training
        if self.training and self.steps == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    folder: Path
    base: Path

    def run(self, name: str, progress: Stop, *, resume: bool = False, **changes: object) -> Path:
        settings = {
            "task": Task.TEXT_CLASSIFICATION,
            "train": self.folder / "train.csv",
            "model": str(self.base),
            "folds": FOLDS,
            "batch_size": 8,
            "epochs": 2,
            "learning_rate": 3e-3,
        } | changes
        config = FinetuneConfig(output=self.folder / name, **settings)  # type: ignore[arg-type]
        finetune(config, progress, resume=resume)
        return self.folder / name


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, base: Path, texts: dict[str, Path]) -> Lab:
    folder = tmp_path_factory.mktemp("folds")
    train = texts["train"].read_text().splitlines()
    (folder / "train.csv").write_text("\n".join(train[:61]) + "\n")
    return Lab(folder=folder, base=base)


@pytest.fixture(scope="module")
def whole(lab: Lab) -> Path:
    return lab.run("whole", Stop())


def test_scores_of_all_folds_are_recorded(whole: Path) -> None:
    record = read_training(whole)
    assert record is not None and record.cross_validation is not None and record.dev is None
    found = record.cross_validation
    scores = [fold.score for fold in found.folds]
    assert len(scores) == FOLDS and sum(fold.rows for fold in found.folds) == record.train.rows
    assert found.mean == pytest.approx(statistics.fmean(scores))
    assert found.std == pytest.approx(statistics.stdev(scores))
    assert found == json_record(whole / "folds.json", found)
    rows = [fold.rows for fold in found.folds]
    assert found.scores.value == pytest.approx(np.average(scores, weights=rows))
    assert record.epochs == found.epochs == mean_epochs([each.best_epoch for each in found.folds])


def test_one_fold_alone_has_no_spread(whole: Path) -> None:
    record = read_training(whole)
    assert record is not None and record.cross_validation is not None
    found = record.cross_validation
    assert render_folds(found)[-1].startswith(f"{FOLDS} folds: accuracy {found.mean:.4f} ± ")
    alone = replace(found, folds=found.folds[:1])
    assert render_folds(alone)[-1] == "one fold was scored, there was no time for others"


def json_record(path: Path, like: object) -> object:
    return from_plain(type(like), json.loads(path.read_text()))


def test_probabilities_out_of_fold_stand_beside_the_checkpoint(lab: Lab, whole: Path) -> None:
    record = read_training(whole)
    assert record is not None and record.cross_validation is not None
    lines = (lab.folder / "train.csv").read_text().splitlines()[1:]
    with np.load(whole / "folds.npz", allow_pickle=False) as found:
        labels = found["labels"].tolist()
        assert found["row"].tolist() == list(range(len(lines)))
        assert [labels[i] for i in found["gold"]] == [line.rpartition(",")[2] for line in lines]
        assert np.allclose(found["probabilities"].sum(axis=1), 1, atol=1e-5)
        right = found["probabilities"].argmax(axis=1) == found["gold"]
        for number, fold in enumerate(record.cross_validation.folds):
            assert right[found["fold"] == number].mean() == pytest.approx(fold.score)


@pytest.mark.parametrize("step", [3, STEPS + 7])
def test_a_killed_cross_validation_goes_on_and_ends_as_one_that_was_not(
    lab: Lab, whole: Path, step: int
) -> None:
    with pytest.raises(StoppedError):
        lab.run("broken", Stop(step))
    resumed = Stop()
    broken = lab.run("broken", resumed, resume=True)
    record = read_training(broken)
    assert record is not None
    last = math.ceil(60 / 8) * record.epochs
    assert resumed.steps == STEPS * FOLDS + last - step  # no step is trained again
    assert (broken / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    with np.load(broken / "folds.npz") as one, np.load(whole / "folds.npz") as other:
        assert (one["probabilities"] == other["probabilities"]).all()
    assert not (lab.folder / ".broken.partial").exists()
    shutil.rmtree(broken)


def test_several_labels_take_the_threshold_that_is_best_out_of_fold(
    lab: Lab, tmp_path: Path
) -> None:
    lines = (lab.folder / "train.csv").read_text().splitlines()[1:]
    train = tmp_path / "train.csv"
    rows = [f'{line.rpartition(",")[0]},"{line.rpartition(",")[2]},all"' for line in lines]
    train.write_text("\n".join(["text,labels", *rows]) + "\n")
    changes = {"train": train, "problem_type": "multi_label_classification", "epochs": 1}
    output = lab.run("several", Stop(), **changes)
    assert open_checkpoint(str(output)).model.rule.threshold is not None


def test_tags_are_cross_validated_too(base: Path, tags: dict[str, Path], tmp_path: Path) -> None:
    lines = tags["train"].read_text().splitlines()[:60]
    (tmp_path / "train.jsonl").write_text("\n".join(lines) + "\n")
    config = FinetuneConfig(
        task=Task.TOKEN_CLASSIFICATION,
        train=tmp_path / "train.jsonl",
        model=str(base),
        output=tmp_path / "out",
        epochs=1,
        folds=2,
        batch_size=8,
    )
    finished = finetune(config)
    assert finished is not None and finished.training.cross_validation is not None
    assert finished.training.cross_validation.metric == "entity_f1"
    assert not (tmp_path / "out" / "folds.npz").exists()


@pytest.mark.parametrize(
    ("best", "epochs"), [([1, 2, 3], 2), ([2, 3], 3), ([1, 1, 2], 1), ([0.5, 0.25], 0.375)]
)
def test_the_mean_of_best_epochs_is_a_whole_number_above_one(
    best: list[float], epochs: float
) -> None:
    assert math.isclose(mean_epochs(best), epochs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 1}, "folds is 1; it must be at least 2"),
        ({"folds": 3, "dev": Path("dev.csv")}, "folds is 3, but the dev data are dev.csv"),
        ({"folds": 3, "dev_share": 0.2}, "folds is 3, which holds out each row once"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        FinetuneConfig(
            task=Task.TEXT_CLASSIFICATION,
            train=Path("train.csv"),
            model="x",
            output=Path("out"),
            **changes,  # type: ignore[arg-type]
        )
