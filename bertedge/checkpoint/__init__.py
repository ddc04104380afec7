"""A Hugging Face checkpoint: what it is, how it was trained, and its logits from PyTorch."""

from bertedge.checkpoint.embedding import add_pooling
from bertedge.checkpoint.engine import TorchEngine, use_threads
from bertedge.checkpoint.folder import (
    ARCHITECTURES,
    AUTO_MODELS,
    Checkpoint,
    fetch,
    load_model,
    load_tokenizer,
    longest_input,
    open_checkpoint,
    read_config,
)
from bertedge.checkpoint.training import TRAINING, DataFile, Setting, Training, read_training

__all__ = [
    "ARCHITECTURES",
    "AUTO_MODELS",
    "TRAINING",
    "Checkpoint",
    "DataFile",
    "Setting",
    "TorchEngine",
    "Training",
    "add_pooling",
    "fetch",
    "load_model",
    "load_tokenizer",
    "longest_input",
    "open_checkpoint",
    "read_config",
    "read_training",
    "use_threads",
]
