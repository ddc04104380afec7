"""The logits of a checkpoint, from PyTorch."""

import inspect
import os
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from bertedge.errors import CheckpointError, DeviceError
from bertedge.runtime import machine
from bertedge.runtime.encoding import Batch
from bertedge.runtime.providers import CPU, find_devices

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def use_threads(count: int | None = None) -> None:
    """Run PyTorch on `count` threads; the default is the cores that this process may use.

    PyTorch itself would count the host's. OMP_NUM_THREADS, which `torchrun` sets too, wins over
    the default.
    """
    if count is not None or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(count or machine.cores())


def logits_of(outputs: Any) -> torch.Tensor:
    """Take the logits from a model's outputs; start and end of answers become two labels."""
    if "start_logits" in outputs:
        return torch.stack((outputs["start_logits"], outputs["end_logits"]), dim=-1)
    logits: torch.Tensor = outputs["logits"]
    return logits


class TorchEngine:
    """The checkpoint in PyTorch (eager, its default attention) behind the Engine seam."""

    def __init__(
        self, model: transformers.PreTrainedModel, *, device: str = CPU.name, dtype: str = "fp32"
    ) -> None:
        """Move `model` to `device` in `dtype` ("fp32", "bf16", "fp16").

        `device` is one of `runtime.providers.NAMES`; DeviceError where PyTorch does not see it.
        """
        asked = [each.name for each in find_devices(device)]
        there = [name for name in asked if getattr(torch, name).is_available()]
        if not there:
            found = device.upper()
            raise DeviceError(
                f"PyTorch sees no {found} device; use --device cpu, or install a {found} build of "
                "torch"
            )
        self._device = torch.device(there[0])
        self._model = model.to(device=self._device, dtype=_DTYPES[dtype])
        accepted = inspect.signature(model.forward).parameters
        self._token_types = (
            "token_type_ids" in accepted and getattr(model.config, "type_vocab_size", 0) > 1
        )

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Run one batch: `(batch, labels)`, or `(batch, sequence, labels)` for token labels.

        CheckpointError where they are no numbers: a label would be taken from them all the same.
        """
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        if self._token_types:
            inputs["token_type_ids"] = batch.token_type_ids
        with torch.inference_mode():
            tensors = {
                name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()
            }
            logits = logits_of(self._model(**tensors))
        found = np.asarray(logits.float().cpu().numpy(), dtype=np.float32)
        # Of finite numbers the sum in double precision is one too, and makes no array.
        if not np.isfinite(found.sum(dtype=np.float64)):
            raise CheckpointError(
                "the checkpoint gives NaN or infinity for a text; its weights are too large, or "
                f"too large for {logits.dtype}: train it again with a lower learning rate"
            )
        return found
