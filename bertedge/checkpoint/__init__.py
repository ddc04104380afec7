"""A Hugging Face checkpoint: what it is, how it was trained, and its logits from PyTorch."""

from bertedge.checkpoint.embedding import add_pooling
from bertedge.checkpoint.engine import TorchEngine, logits_of, use_threads
from bertedge.checkpoint.folder import (
    ARCHITECTURES,
    fetch,
    load_tokenizer,
    longest_input,
    read_config,
)
from bertedge.checkpoint.opening import (
    AUTO_MODELS,
    SPAN_LABELS,
    Checkpoint,
    load_model,
    open_checkpoint,
    usual_length,
)
from bertedge.checkpoint.training import TRAINING, DataFile, Setting, Training, read_training

__all__ = [
    "ARCHITECTURES",
    "AUTO_MODELS",
    "SPAN_LABELS",
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
    "logits_of",
    "longest_input",
    "open_checkpoint",
    "read_config",
    "read_training",
    "use_threads",
    "usual_length",
]
