"""Hugging Face's TrainingArguments, from what every training run has and what one kind adds."""

import os
from pathlib import Path
from typing import Any

import torch
import transformers

from bertedge.training.config import Precision, TrainingConfig


def training_arguments(
    config: TrainingConfig, folder: Path, precision: Precision, **own: Any
) -> transformers.TrainingArguments:
    """Return the arguments of a run whose states lie in `folder`; `own` are those of its kind."""
    cuda = torch.cuda.is_available()
    # TrainingArguments writes bf16 here and reads it again, so a run would pass it on to the next.
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if precision is Precision.BF16 else "no"
    return transformers.TrainingArguments(
        output_dir=str(folder),
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        optim="adamw_torch_fused",
        bf16=precision is Precision.BF16,
        use_cpu=not cuda,
        ddp_backend="gloo" if "WORLD_SIZE" in os.environ and not cuda else None,
        dataloader_pin_memory=cuda,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        **own,
    )
