"""The base is pretrained on the task's texts before it is fine-tuned on them."""

import os
import signal
from pathlib import Path

import pytest
import torch
import transformers

from bertedge.checkpoint import load_base, open_base
from bertedge.errors import SettingError, StoppedError
from bertedge.finetune.adaptation import load_adapted
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import finetune
from bertedge.progress import Silent
from bertedge.spec import Task


class Steps(Silent):
    """Counts the steps of each training; stops the run at a step of the n-th one."""

    def __init__(self, bar: int = -1, step: int = -1) -> None:
        self.stop, self.counted = (bar, step), False
        self.bars: list[int] = []
        self.lines: list[str] = []

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        self.counted = what in ("pretraining", "training")
        if self.counted:
            self.bars.append(0)

    def advance(self, by: int, note: str = "") -> None:
        if self.counted:
            self.bars[-1] += 1
            if (len(self.bars) - 1, self.bars[-1]) == self.stop:
                os.kill(os.getpid(), signal.SIGINT)

    def say(self, line: str) -> None:
        self.lines.append(line)


def run(
    base: Path, texts: dict[str, Path], output: Path, progress: Steps, *, resume: bool = False
) -> bytes:
    config = FinetuneConfig(
        task=Task.TEXT_CLASSIFICATION,
        train=texts["train"],
        dev=texts["dev"],
        model=str(base),
        output=output,
        epochs=1,
        batch_size=32,
        learning_rate=1e-3,
        adapt=True,
        adapt_epochs=2,
    )
    finetune(config, progress, resume=resume)
    return (output / "model.safetensors").read_bytes()


def test_a_run_stopped_in_either_part_ends_as_one_that_was_not(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    first = Steps()
    whole = run(base, texts, tmp_path / "whole", first)
    assert len(first.bars) == 2 and first.bars[1] == 10
    assert any("adapting the base to the texts of train.csv" in line for line in first.lines)
    for bar, name in ((0, "adapting"), (1, "training")):
        with pytest.raises(StoppedError):
            run(base, texts, tmp_path / name, Steps(bar, 2))
        again = Steps()
        assert run(base, texts, tmp_path / name, again, resume=True) == whole, name
        assert len(again.bars) == 2 - bar  # what is finished is not repeated


def test_the_adapted_encoder_is_loaded_and_the_pooler_kept(base: Path, tmp_path: Path) -> None:
    found = open_base(str(base))
    other = transformers.BertForMaskedLM(found.config)
    other.save_pretrained(tmp_path)
    kind = transformers.AutoModelForSequenceClassification
    model, _ = load_base(found.folder, found.config, kind)
    pooler = model.bert.pooler.dense.weight.clone()
    load_adapted(model, tmp_path)
    for name, tensor in other.bert.state_dict().items():
        assert torch.equal(model.bert.state_dict()[name], tensor), name
    assert torch.equal(model.bert.pooler.dense.weight, pooler)


def test_a_student_that_starts_as_its_teacher_is_not_adapted() -> None:
    plain = {"task": "text-classification", "train": "t.csv", "output": "o", "adapt": True}
    with pytest.raises(SettingError, match="--adapt is for a base"):
        FinetuneConfig(**plain, teacher="t")  # type: ignore[arg-type]
