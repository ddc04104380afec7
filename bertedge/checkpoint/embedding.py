"""An encoder whose logits are the embeddings of texts: hidden states, pooled and normalized."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.modeling_outputs import SequenceClassifierOutput

from bertedge.errors import CheckpointError
from bertedge.tasks import Pooling, PoolingMode

MODULES = "modules.json"
"""Where sentence-transformers lists what follows the encoder."""
LENGTH = "sentence_bert_config.json"
_MODES = {
    "pooling_mode_mean_tokens": PoolingMode.MEAN,
    "pooling_mode_cls_token": PoolingMode.CLS,
}
_MODE = "pooling_mode"


class Embedder(transformers.PreTrainedModel):
    """An encoder with its pooling, in the shape of a text classifier."""

    base_model_prefix = "encoder"
    _supports_sdpa = True  # as the encoder does, which settled that already

    def __init__(self, encoder: transformers.PreTrainedModel, pooling: Pooling) -> None:
        super().__init__(encoder.config)
        self.encoder = encoder
        self._pooling = pooling

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Give the embeddings `(batch, hidden)` as the logits."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        found = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types)
        pooled = _pool(found.last_hidden_state, attention_mask, self._pooling.mode)
        if self._pooling.normalized:
            pooled = pooled / pooled.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return SequenceClassifierOutput(logits=pooled)


def add_pooling(encoder: transformers.PreTrainedModel, pooling: Pooling) -> Embedder:
    """Put `pooling` behind an encoder; a pooler of its own, which it does not read, goes."""
    if hasattr(encoder, "pooler"):
        encoder.pooler = None
    return Embedder(encoder, pooling)


def read_pooling(folder: Path) -> Pooling:
    """Read how sentence-transformers pools with this checkpoint; else the mean, normalized.

    CheckpointError where it does something that is not done here.
    """
    if not (folder / MODULES).exists():
        return Pooling()
    modules = {str(each["type"]).rpartition(".")[2]: each for each in _read(folder / MODULES)}
    strange = sorted(set(modules) - {"Transformer", "Pooling", "Normalize"})
    if strange:
        raise CheckpointError(
            f"{folder / MODULES} puts {', '.join(strange)} behind the encoder, which is not "
            "supported; choose a model that ends with Pooling and Normalize"
        )
    mode = PoolingMode.MEAN
    if "Pooling" in modules:
        mode = _mode(folder / str(modules["Pooling"]["path"]) / "config.json")
    return Pooling(mode=mode, normalized="Normalize" in modules)


def read_length(folder: Path) -> int | None:
    """Read at how many tokens sentence-transformers cuts texts; None where it does not say."""
    path = folder / LENGTH
    length = _read(path).get("max_seq_length") if path.exists() else None
    return None if length is None else int(length)


def _pool(hidden: torch.Tensor, mask: torch.Tensor, mode: PoolingMode) -> torch.Tensor:
    match mode:
        case PoolingMode.CLS:
            return hidden[:, 0]
        case PoolingMode.MEAN:
            weights = mask.to(hidden.dtype).unsqueeze(-1)
            return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def _mode(path: Path) -> PoolingMode:
    data = _read(path)
    told = [name for name, on in data.items() if name.startswith(_MODE) and on is True]
    if data.get(_MODE) in tuple(PoolingMode):
        return PoolingMode(data[_MODE])
    if len(told) != 1 or told[0] not in _MODES:
        asked = data.get(_MODE) or ", ".join(told) or "nothing"
        raise CheckpointError(
            f"{path} asks for {asked}; mean or cls alone is supported: choose with --pooling"
        )
    return _MODES[told[0]]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); copy the model again") from None
