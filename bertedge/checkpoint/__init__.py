"""A Hugging Face checkpoint: what it is, how it was trained, and its logits from PyTorch.

Its modules are imported when they are asked for: what `finetune` recorded is read without torch.
"""

from typing import TYPE_CHECKING

from bertedge.lazy import lazy_exports

if TYPE_CHECKING:
    from bertedge.checkpoint.config import read_config
    from bertedge.checkpoint.engine import TorchEngine, logits_of, use_threads
    from bertedge.checkpoint.folder import fetch
    from bertedge.checkpoint.opening import (
        Base,
        Checkpoint,
        load_base,
        load_model,
        model_class,
        open_base,
        open_checkpoint,
        pools_mean,
        usual_length,
    )
    from bertedge.checkpoint.row_models import RowModel, row_model
    from bertedge.checkpoint.training import (
        TRAINING,
        CrossValidation,
        DataFile,
        Fold,
        Setting,
        Training,
    )

_HOMES = {
    "config": ("read_config",),
    "engine": ("TorchEngine", "logits_of", "use_threads"),
    "folder": ("fetch",),
    "opening": (
        "Base",
        *("model_class", "Checkpoint", "load_base", "load_model", "open_base"),
        *("open_checkpoint", "pools_mean", "usual_length"),
    ),
    "row_models": ("RowModel", "row_model"),
    "training": ("TRAINING", "CrossValidation", "DataFile", "Fold", "Setting", "Training"),
}

__all__ = [
    "TRAINING",
    "Base",
    "Checkpoint",
    "CrossValidation",
    "DataFile",
    "Fold",
    "RowModel",
    "Setting",
    "TorchEngine",
    "Training",
    "fetch",
    "load_base",
    "load_model",
    "logits_of",
    "model_class",
    "open_base",
    "open_checkpoint",
    "pools_mean",
    "read_config",
    "row_model",
    "use_threads",
    "usual_length",
]

__getattr__ = lazy_exports(__name__, _HOMES)
