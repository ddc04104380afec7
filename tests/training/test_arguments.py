"""Trainer's arguments say what the run's own settings say."""

from pathlib import Path

import pytest
import torch
import transformers

from bertedge.training.arguments import training_arguments
from bertedge.training.config import Precision, TrainingConfig


def precision_of(folder: Path, precision: Precision) -> str:
    """Return the precision that Trainer puts around the model's forward pass."""
    arguments = training_arguments(TrainingConfig(), folder, precision)
    trainer = transformers.Trainer(model=torch.nn.Linear(2, 2), args=arguments)
    return str(trainer.accelerator.mixed_precision)


def test_a_run_in_fp32_after_one_in_bf16_is_in_fp32(tmp_path: Path) -> None:
    found = [precision_of(tmp_path, each) for each in (Precision.BF16, Precision.FP32)]
    assert found == ["bf16", "no"]


def test_what_a_launcher_set_does_not_change_the_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert precision_of(tmp_path, Precision.FP32) == "no"
