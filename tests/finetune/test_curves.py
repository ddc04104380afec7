"""A run leaves its curves beside the weights, and writes TensorBoard's files on request."""

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bertedge.cli import main
from bertedge.errors import MissingExtraError, SettingError, StoppedError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import finetune
from bertedge.progress import Silent
from bertedge.spec import Task
from bertedge.training import curves

STEPS = 20
"""Of an epoch; Trainer logs every second one."""


class Stop(Silent):
    """Asks this process to stop after a step."""

    def __init__(self, step: int) -> None:
        self.step, self.done = step, -(10**9)

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        self.done = done if what == "training" else -(10**9)

    def advance(self, by: int, note: str = "") -> None:
        self.done += by
        if self.done == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def config(files: dict[str, Path], base: Path, output: Path, **changes: Any) -> FinetuneConfig:
    plain: dict[str, Any] = {
        "task": Task.TEXT_CLASSIFICATION,
        **files,
        "model": str(base),
        "output": output,
        "batch_size": 4,
        "epochs": 2.0,
        "learning_rate": 1e-3,
    }
    return FinetuneConfig(**plain | changes)


@pytest.fixture(scope="module")
def few(texts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("few")
    rows = {"train": 4 * STEPS, "dev": 20}
    for name, count in rows.items():
        lines = texts[name].read_text().splitlines()[: 1 + count]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return {name: folder / f"{name}.csv" for name in rows}


def read(output: Path) -> list[dict[str, str]]:
    with (output / curves.CURVES).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_curves_have_a_row_for_each_logged_step_and_the_dev_metric_of_each_epoch(
    base: Path, few: dict[str, Path], tmp_path: Path
) -> None:
    finished = finetune(config(few, base, tmp_path / "out"), Silent())
    assert finished is not None
    rows = read(tmp_path / "out")
    assert list(rows[0]) == [
        *("step", "epoch", "loss", "learning_rate", "grad_norm"),
        *("dev_accuracy", "dev_loss", "seconds"),
    ]
    assert [int(row["step"]) for row in rows] == list(range(2, 2 * STEPS + 1, 2))
    assert [float(row["epoch"]) for row in rows] == pytest.approx([i / 10 for i in range(1, 21)])
    assert all(float(row["loss"]) > 0 and float(row["grad_norm"]) > 0 for row in rows)
    dev = {float(row["epoch"]): float(row["dev_accuracy"]) for row in rows if row["dev_accuracy"]}
    assert list(dev) == [1.0, 2.0]
    assert finished.dev is not None and finished.training.best_epoch is not None
    assert dev[finished.training.best_epoch] == pytest.approx(finished.dev.scores.value)
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds) and seconds[0] > 0
    peak = max(float(row["learning_rate"]) for row in rows)
    assert 0.9e-3 < peak <= 1e-3


@pytest.mark.parametrize("step", [7, STEPS + 3])
def test_a_resumed_run_has_every_row_once(
    base: Path, few: dict[str, Path], tmp_path: Path, step: int
) -> None:
    def steady(output: Path) -> list[dict[str, str]]:
        """The columns that do not depend on the time, nor on where the loss was summed anew."""
        return [
            {k: v for k, v in row.items() if k not in ("seconds", "loss")} for row in read(output)
        ]

    finetune(config(few, base, tmp_path / "whole"), Silent())
    for at in (step, step + 5):
        with pytest.raises(StoppedError):
            finetune(config(few, base, tmp_path / "broken"), Stop(at), resume=at > step)
    finetune(config(few, base, tmp_path / "broken"), Silent(), resume=True)
    assert steady(tmp_path / "broken") == steady(tmp_path / "whole")
    seconds = [float(row["seconds"]) for row in read(tmp_path / "broken")]
    assert seconds == sorted(seconds)


def test_without_dev_data_the_curves_have_the_loss_alone(
    base: Path, few: dict[str, Path], tmp_path: Path
) -> None:
    finetune(config({"train": few["train"]}, base, tmp_path / "out", epochs=1), Silent())
    rows = read(tmp_path / "out")
    assert list(rows[0]) == ["step", "epoch", "loss", "learning_rate", "grad_norm", "seconds"]
    assert len(rows) == STEPS / 2


def test_tensorboard_shows_an_interrupted_and_resumed_run_as_one(
    base: Path, few: dict[str, Path], tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    plain = config(few, base, tmp_path / "out", log_dir=logs)
    finetune(config(few, base, tmp_path / "before", log_dir=logs), Silent())  # is hidden
    with pytest.raises(StoppedError):
        finetune(plain, Stop(7))
    finetune(plain, Silent(), resume=True)
    shown = EventAccumulator(str(logs)).Reload()
    rows = read(tmp_path / "out")
    loss = [(event.step, event.value) for event in shown.Scalars("train/loss")]
    assert [step for step, _ in loss] == [int(row["step"]) for row in rows]
    assert [value for _, value in loss] == pytest.approx([float(row["loss"]) for row in rows])
    assert [event.step for event in shown.Scalars("eval/accuracy")] == [STEPS, 2 * STEPS]
    assert "log_dir" not in json.loads((tmp_path / "out" / "training.json").read_text())["settings"]
    assert {path.name for path in tmp_path.iterdir()} == {"logs", "out", "before"}


def test_each_fold_and_each_trial_has_a_folder_of_its_own_for_tensorboard(
    base: Path, few: dict[str, Path], tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="pip install 'bertedge[auto]' searches settings")
    logs, plain = tmp_path / "logs", {"epochs": 1.0, "batch_size": 40}
    train = {"train": few["train"]}
    own = config(train, base, tmp_path / "folds", folds=2, log_dir=logs / "folds", **plain)
    finetune(own, Silent())
    assert written(logs / "folds") == {".", "fold-1", "fold-2"}
    own = config(few, base, tmp_path / "auto", auto=True, minutes=1e-4, log_dir=logs, **plain)
    finetune(own, Silent())
    assert written(logs) - {"folds"} >= {"trial-1"}
    assert EventAccumulator(str(logs / "trial-1")).Reload().Scalars("eval/accuracy")


def written(logs: Path) -> set[str]:
    """The folders with TensorBoard's files, as TensorBoard calls the runs."""
    return {str(path.parent.relative_to(logs)) for path in logs.rglob("events.out.tfevents*")}


def test_without_tensorboard_the_extra_is_named_before_anything_is_written(
    base: Path, few: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bertedge\[tensorboard\]'"):
        finetune(config(few, base, tmp_path / "out", log_dir=tmp_path / "logs"), Silent())
    typed = ["finetune", "--log-dir", str(tmp_path / "logs"), "--model", str(base)]
    typed += ["--train", str(few["train"]), "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*typed, "--task", "text-classification"])
    assert done.exit_code == 1 and done.stderr.count("\n") == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [".", "logs"])
def test_logs_in_the_output_are_refused(
    base: Path, few: dict[str, Path], tmp_path: Path, place: str
) -> None:
    output = tmp_path / "out"
    with pytest.raises(SettingError, match="in the output"):
        finetune(config(few, base, output, log_dir=output / place), Silent())
