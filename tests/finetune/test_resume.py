"""A run that was stopped, wherever that was, ends as one that was not."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bertedge.errors import StoppedError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import finetune
from bertedge.progress import Silent
from bertedge.spec import Task
from bertedge.training.seal import SEAL

STEPS = 4
"""Of an epoch."""


class Stop(Silent):
    """Sends this process a signal after so many steps; keeps the lines that were said."""

    def __init__(self, step: int | None = None, number: int = signal.SIGINT) -> None:
        self.step, self.number, self.lines, self.done = step, number, [], -1

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        self.done = done if what == "training" else -(10**9)

    def advance(self, by: int, note: str = "") -> None:
        self.done += by
        if self.done == self.step:
            os.kill(os.getpid(), self.number)

    def say(self, line: str) -> None:
        self.lines.append(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What a run must come to, however often it was stopped."""

    weights: bytes
    best_epoch: float | None
    epochs: float
    dev_scores: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    folder: Path
    base: Path

    def run(self, name: str, progress: Stop, *, resume: bool = False, **changes: object) -> None:
        settings = {
            "batch_size": 4,
            "epochs": 3.0,
            "learning_rate": 3e-3,
            "early_stopping_patience": 3,
        } | changes
        config = FinetuneConfig(
            task=Task.TEXT_CLASSIFICATION,
            train=self.folder / "train.csv",
            dev=self.folder / "dev.csv",
            model=str(self.base),
            output=self.folder / name,
            **settings,  # type: ignore[arg-type]
        )
        finetune(config, progress, resume=resume)

    def stop(self, name: str, step: int, number: int = signal.SIGINT, **changes: object) -> None:
        with pytest.raises(StoppedError, match=f"interrupted at step {step} "):
            self.run(name, Stop(step, number), **changes)

    def work(self, name: str) -> Path:
        return self.folder / f".{name}.partial"

    def end(self, name: str) -> End:
        output = self.folder / name
        record = json.loads((output / "training.json").read_text())
        weights = (output / "model.safetensors").read_bytes()
        kept = {key: record[key] for key in ("best_epoch", "epochs", "dev_scores")}
        assert not self.work(name).exists()
        shutil.rmtree(output)
        return End(weights=weights, **kept)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, base: Path, texts: dict[str, Path]) -> Lab:
    folder = tmp_path_factory.mktemp("resume")
    train, dev = (texts[name].read_text().splitlines() for name in ("train", "dev"))
    (folder / "train.csv").write_text("\n".join(train[: 1 + 4 * STEPS - 1]) + "\n")
    (folder / "dev.csv").write_text("\n".join(dev[:21]) + "\n")
    return Lab(folder=folder, base=base)


WAYS: dict[str, dict[str, object]] = {
    "whole epochs": {},
    "part of an epoch, batches accumulated": {
        "epochs": 1.5,
        "batch_size": 2,
        "gradient_accumulation_steps": 2,
    },
    "stopped early": {"epochs": 9.0, "early_stopping_patience": 1},
}


def stops(steps: int) -> list[int]:
    """The first step, the last but one, and those around the ends of epochs."""
    around = {1, STEPS - 1, STEPS, STEPS + 1, 2 * STEPS, steps - 1}
    return sorted(step for step in around if step < steps)


@pytest.mark.parametrize("way", WAYS)
def test_a_run_stopped_at_any_step_ends_as_one_that_was_not(lab: Lab, way: str) -> None:
    lab.run("whole", Stop(), **WAYS[way])
    whole = lab.end("whole")
    steps = round(whole.epochs * STEPS)
    assert whole.best_epoch is not None
    early = way == "stopped early"  # is not known at its last step
    for step in [*stops(steps), *[steps] * early]:
        number = signal.SIGTERM if step % 2 else signal.SIGINT
        lab.stop("broken", step, number, **WAYS[way])
        lab.run("broken", Stop(), resume=True, **WAYS[way])
        assert lab.end("broken") == whole, f"stopped at step {step}"
    if not early:  # after the last step there is nothing to stop
        lab.run("broken", Stop(steps), **WAYS[way])
        assert lab.end("broken") == whole


def test_a_run_stopped_again_and_again_ends_as_one_that_was_not(lab: Lab) -> None:
    lab.run("whole", Stop())
    lab.stop("broken", 2)
    for step in (3, 5, 6, 11):
        lab.stop("broken", step, resume=True)
    lab.run("broken", Stop(), resume=True)
    assert lab.end("broken") == lab.end("whole")


TECHNIQUES: dict[str, dict[str, object]] = {
    "moving average of the weights": {"ema_decay": 0.7},
    "mean of the weights": {"swa_start": 0.3},
    "rows that are changed anew": {"augment": ("deletion", "swap", "label-words")},
    "mixup, mixout and new layers": {"mixup_alpha": 0.4, "mixout": 0.5, "reinit_layers": 1},
    "adversarial": {"adversarial": "freelb", "gradient_accumulation_steps": 2, "batch_size": 2},
}
"""Those that keep something between steps, or draw numbers."""


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_what_a_technique_keeps_is_saved(lab: Lab, technique: str) -> None:
    settings = {"epochs": 2.5, **TECHNIQUES[technique]}
    lab.run("whole", Stop(), **settings)
    lab.stop("broken", STEPS - 1, **settings)
    lab.stop("broken", 2 * STEPS, resume=True, **settings)
    lab.run("broken", Stop(), resume=True, **settings)
    assert lab.end("broken") == lab.end("whole")


@pytest.mark.parametrize("method", ["lora", "adapter", "p-tuning"])
def test_a_stopped_run_of_few_parameters_ends_as_one_that_was_not(lab: Lab, method: str) -> None:
    pytest.importorskip("peft", reason="needs the peft extra")
    tokens = {"num_virtual_tokens": 4} if method == "p-tuning" else {}
    way = {"peft": method, "epochs": 2.0, **tokens}
    lab.run("whole", Stop(), **way)
    lab.stop("broken", STEPS + 1, **way)
    lab.run("broken", Stop(), resume=True, **way)
    assert lab.end("broken") == lab.end("whole")


def test_half_an_epoch_is_not_evaluated(lab: Lab) -> None:
    stopped = Stop(STEPS + 1)
    with pytest.raises(StoppedError):
        lab.run("broken", stopped)
    assert [line for line in stopped.lines if "dev accuracy" in line][1:] == []
    (state,) = lab.work("broken").glob(f"checkpoint-{STEPS + 1}")
    found = json.loads((state / "trainer_state.json").read_text())
    assert found["best_global_step"] == STEPS
    shutil.rmtree(lab.work("broken"))


def test_a_work_folder_may_be_moved(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.run("whole", Stop())
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    for name in ("train.csv", "dev.csv"):
        shutil.copy(lab.folder / name, here)
    moved = Lab(folder=Path(), base=lab.base)
    monkeypatch.chdir(here)
    moved.stop("broken", STEPS + 1)
    here.rename(there)
    monkeypatch.chdir(there)
    moved.run("broken", Stop(), resume=True)
    assert moved.end("broken") == lab.end("whole")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": Path.unlink,
}


def test_a_damaged_state_is_left_out_and_the_run_still_ends_as_it_should(lab: Lab) -> None:
    """tests/training/test_seal.py damages each file of what is sealed; all of a state is."""
    lab.run("whole", Stop())
    whole = lab.end("whole")
    lab.stop("broken", 2 * STEPS + 1)
    kept = lab.folder / "kept"
    lab.work("broken").rename(kept)
    newest, before = (kept / f"checkpoint-{step}" for step in (2 * STEPS + 1, 2 * STEPS))
    for state in (newest, before):
        assert {*listed(state), SEAL} == {path.name for path in state.iterdir()}
    damaged = {
        newest / "model.safetensors": "cut",
        newest / "optimizer.pt": "empty",
        newest / SEAL: "cut",
        before / "model.safetensors": "missing",
        kept / "settings.json": "cut",
    }
    for path, damage in damaged.items():
        shutil.copytree(kept, lab.work("broken"))
        DAMAGES[damage](lab.work("broken") / path.relative_to(kept))
        resumed = Stop()
        lab.run("broken", resumed, resume=True)
        assert lab.end("broken") == whole, (path.name, damage)
        if path.parent == newest:
            assert any("is left out" in line for line in resumed.lines), (path.name, damage)
    shutil.rmtree(kept)


def listed(state: Path) -> list[str]:
    return [file["file"] for file in json.loads((state / SEAL).read_text())["files"]]
