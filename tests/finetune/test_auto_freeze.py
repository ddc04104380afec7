"""Lower layers are frozen along a run once their gradients have settled."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from safetensors.numpy import load_file

from bertedge.checkpoint import open_checkpoint
from bertedge.errors import SettingError, StoppedError
from bertedge.finetune import auto_freeze
from bertedge.finetune.auto_freeze import AutoFreeze, settled_layers
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import finetune
from bertedge.finetune.trainer import FinetuneTrainer
from bertedge.progress import Silent
from bertedge.spec import Task

LAYERS = 4
STEPS = 12
"""Of an epoch; there are three, with a check every third step."""


class Watch(Silent):
    """Keeps the lines that were said; asks this process to stop after a step."""

    def __init__(self, step: int = -1) -> None:
        self.step, self.done = step, -(10**9)
        self.lines: list[str] = []

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        self.done = done if what == "training" else -(10**9)

    def advance(self, by: int, note: str = "") -> None:
        self.done += by
        if self.done == self.step:
            os.kill(os.getpid(), signal.SIGINT)

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def deep(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with four layers."""
    folder = tmp_path_factory.mktemp("deep") / "bert"
    shutil.copytree(base, folder)
    config = transformers.BertConfig.from_pretrained(base, num_hidden_layers=LAYERS)
    transformers.set_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def few(texts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("few")
    for name, rows in (("train", 4 * STEPS), ("dev", 20)):
        lines = texts[name].read_text().splitlines()[: 1 + rows]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return {name: folder / f"{name}.csv" for name in ("train", "dev")}


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more layer has settled at each check: after steps 6, 9 and 12."""

    def rule(before: Any, now: Any, frozen: int) -> int:
        return min(frozen + 1, len(now) - 1)

    monkeypatch.setattr(auto_freeze, "settled_layers", rule)


def config(files: dict[str, Path], base: Path, output: Path, **changes: Any) -> FinetuneConfig:
    plain: dict[str, Any] = {"task": Task.TEXT_CLASSIFICATION, **files, "model": str(base)}
    plain |= {"output": output, "batch_size": 4, "epochs": 3.0, "learning_rate": 1e-3}
    return FinetuneConfig(**plain | {"freeze": "auto"} | changes)


@pytest.mark.parametrize(
    ("before", "now", "frozen", "found"),
    [
        # The median change of those that are trained is 0.4: the lowest two are below it.
        ([1.0, 1.0, 1.0, 1.0, 1.0], [0.8, 1.3, 1.4, 1.5, 1.6], 0, 3),
        ([1.0, 1.0, 1.0, 1.0, 1.0], [1.6, 1.0, 1.0, 1.0, 1.7], 0, 0),  # the lowest still moves
        ([2.0, 2.0, 2.0, 2.0], [3.0, 2.8, 0.9, 1.0], 1, 2),  # 0.4, 0.55, 0.5
        ([2.0, 2.0, 2.0, 2.0], [2.1, 1.9, 2.1, 2.0], 0, 3),  # all have settled; the top one stays
        ([0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 2.0, 3.0], 0, 2),  # without gradients nothing moves
        ([1.0, 1.0], [1.0, 1.0], 1, 1),
        ([1.0], [1.0], 0, 0),
    ],
)
def test_the_lowest_layers_that_change_no_more_than_the_median_one_have_settled(
    before: list[float], now: list[float], frozen: int, found: int
) -> None:
    assert settled_layers(before, now, frozen) == found


@pytest.mark.usefixtures("one_by_one")
def test_layers_are_frozen_along_the_run_and_never_move_again(
    deep: Path, few: dict[str, Path], tmp_path: Path
) -> None:
    watch = Watch(3 * STEPS - 1)
    with pytest.raises(StoppedError):
        finetune(config(few, deep, tmp_path / "out"), watch)
    said = [line for line in watch.lines if "frozen" in line]
    assert [line.partition(" layers")[0] for line in said] == [
        *("step 6: 1 of 4", "step 9: 2 of 4", "step 12: 3 of 4")
    ]
    assert all("kept" in line for line in said)
    work = tmp_path / ".out.partial"
    early, late = (
        load_file(work / f"checkpoint-{step}" / "model.safetensors")
        for step in (STEPS * 2, 3 * STEPS - 1)
    )
    for name, weight in early.items():
        frozen = ".embeddings." in name or any(f".layer.{i}." in name for i in range(3))
        if not name.endswith("key.bias"):  # softmax does not see it
            assert (late[name] == weight).all() == frozen, name
    finetune(config(few, deep, tmp_path / "out"), Watch(), resume=True)
    checkpoint = open_checkpoint(str(tmp_path / "out"))
    assert checkpoint.training is not None
    assert checkpoint.training.trained_layers == (1, 1, 1)
    with (tmp_path / "out" / "training.csv").open(newline="") as file:
        column = {int(row["step"]): row["trained_layers"] for row in csv.DictReader(file)}
    assert [column[step] for step in (5, 6, 9, 12, 36)] == ["4", "3", "2", "1", "1"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("changes", [{}, {"gradient_accumulation_steps": 2, "batch_size": 2}])
def test_a_run_stopped_anywhere_ends_as_one_that_was_not(
    deep: Path, few: dict[str, Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    finetune(config(few, deep, tmp_path / "whole", **changes), Silent())
    for step in (5, 7, 2 * STEPS + 1):
        with pytest.raises(StoppedError):
            finetune(
                config(few, deep, tmp_path / "broken", **changes), Watch(step), resume=step > 5
            )
    finetune(config(few, deep, tmp_path / "broken", **changes), Silent(), resume=True)
    weights = [(tmp_path / x / "model.safetensors").read_bytes() for x in ("whole", "broken")]
    assert weights[0] == weights[1]
    records = [
        json.loads((tmp_path / x / "training.json").read_text()) for x in ("whole", "broken")
    ]
    assert records[0]["trained_layers"] == records[1]["trained_layers"] == [1, 1, 1]


def test_a_fall_of_the_dev_metric_thaws_all_layers_for_good(
    deep: Path, few: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first evaluation is said to have been perfect."""
    evaluate = AutoFreeze.on_evaluate

    def praised(self: Any, args: Any, state: Any, control: Any, metrics: Any, **more: Any) -> None:
        if state.global_step == STEPS:
            metrics = metrics | {"eval_accuracy": 1.0}
        else:
            metrics = metrics | {"eval_accuracy": 0.2}
        evaluate(self, args, state, control, metrics=metrics, **more)

    monkeypatch.setattr(AutoFreeze, "on_evaluate", praised)
    monkeypatch.setattr(auto_freeze, "settled_layers", lambda *_: 2)
    watch = Watch()
    finished = finetune(config(few, deep, tmp_path / "out"), watch)
    assert finished is not None
    assert finished.training.trained_layers == (2, 2, LAYERS)
    assert [line for line in watch.lines if "again" in line] == [
        f"step {2 * STEPS}: all layers are trained again, for the dev accuracy fell from 1.0000 "
        "to 0.2000"
    ]


TASKS: dict[str, dict[str, Any]] = {
    "tags": {"task": Task.TOKEN_CLASSIFICATION},
    "pairs": {"dev_share": 0.0},
    "texts": {"gradient_checkpointing": True, "rdrop_alpha": 1.0, "precision": "bf16"},
}


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("data", TASKS)
def test_other_tasks_and_techniques_train_above_frozen_layers(
    deep: Path, data: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    given = request.getfixturevalue(data)
    files = {}
    for name, rows in (("train", 33), ("dev", 21)):
        files[name] = tmp_path / f"{name}{given[name].suffix}"
        lines = given[name].read_text().splitlines()[:rows]
        files[name].write_text("\n".join(lines) + "\n")
    if data == "pairs":
        del files["dev"]
    finished = finetune(config(files, deep, tmp_path / "out", **TASKS[data]), Silent())
    assert finished is not None and finished.training.trained_layers[-1] == 1
    for weight in load_file(tmp_path / "out" / "model.safetensors").values():
        assert np.isfinite(weight).all()


@pytest.mark.usefixtures("one_by_one")
def test_a_student_learns_above_frozen_layers(
    deep: Path, few: dict[str, Path], tmp_path: Path
) -> None:
    finetune(config(few, deep, tmp_path / "teacher", epochs=1, freeze=None), Silent())
    changes = {"model": None, "teacher": (str(tmp_path / "teacher"),), "layers": 3}
    finished = finetune(config(few, deep, tmp_path / "out", **changes), Silent())
    assert finished is not None and finished.training.trained_layers == (1, 1, 1)


def test_the_rule_freezes_layers_of_a_model_that_learns(
    deep: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    changes = {"epochs": 6, "batch_size": 8, "learning_rate": 3e-3}
    finished = finetune(config(texts, deep, tmp_path / "out", **changes), Silent())
    assert finished is not None and finished.dev is not None
    assert finished.training.trained_layers[-1] < LAYERS
    assert finished.dev.scores.value > 0.9


@pytest.mark.parametrize("other", [{"ema_decay": 0.9}, {"gradual_unfreezing": 0.5}])
def test_what_changes_the_outputs_of_frozen_layers_is_refused_in_one_line(
    few: dict[str, Path], deep: Path, tmp_path: Path, other: dict[str, Any]
) -> None:
    with pytest.raises(SettingError, match=r"--freeze auto and --.* cannot be combined: "):
        config(few, deep, tmp_path / "out", **other)
    config(few, deep, tmp_path / "out", **other, freeze="embeddings")
    with pytest.raises(SettingError, match="give embeddings, a number of layers, or auto"):
        config(few, deep, tmp_path / "out", freeze="all")


def test_several_processes_are_refused(
    deep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Several:
        accelerator = type("Accelerator", (), {"num_processes": 2})

    assert issubclass(FinetuneTrainer, transformers.Trainer)
    with pytest.raises(SettingError, match="for one process"):
        AutoFreeze(Several(), tmp_path, Silent(), None)  # type: ignore[arg-type]
