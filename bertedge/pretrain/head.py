"""The model that is pretrained, and its losses."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn.functional import cross_entropy

from bertedge.checkpoint import load_base
from bertedge.pretrain.collator import IGNORED
from bertedge.pretrain.config import Size

_HEADS = {
    "bert": "cls.predictions",
    "roberta": "lm_head",
    "distilbert": "vocab_transform",
    "electra": "generator_predictions",
    "xlm-roberta": "lm_head",
    "camembert": "lm_head",
    "mpnet": "lm_head",
    "albert": "predictions",
    "deberta-v2": "cls.predictions",
    "modernbert": "head",
}
"""The first module of each architecture that works on its way from hidden states to words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Of one batch."""

    words: torch.Tensor
    """Mean cross entropy of the masked tokens."""
    right: torch.Tensor
    """Masked tokens that the model puts first."""
    count: int
    next_sentence: torch.Tensor | None
    next_right: torch.Tensor | None


class MaskedTokenHead:
    """Runs a model's vocabulary head at the masked tokens only.

    That is a seventh of the positions for the same loss, and in a small model the head is most of
    the work. The model itself is what runs, so that it may be wrapped for a distributed launch.
    """

    def __init__(self, model: transformers.PreTrainedModel) -> None:
        self._chosen = torch.empty(0)
        self._accepted = inspect.signature(model.forward).parameters
        head = model.get_submodule(_HEADS[model.config.model_type])
        self._hook = head.register_forward_pre_hook(self._select)

    def __call__(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> Losses:
        """Compute the losses of a batch of `collate`."""
        labels = batch["labels"]
        self._chosen = labels != IGNORED
        inputs = {
            name: tensor
            for name, tensor in batch.items()
            if name in self._accepted and "label" not in name
        }
        outputs = model(**inputs)
        wanted = labels[self._chosen]
        logits = (
            outputs.prediction_logits if "prediction_logits" in outputs else outputs.logits
        ).float()
        losses = Losses(
            words=cross_entropy(logits, wanted),
            right=(logits.argmax(-1) == wanted).sum(),
            count=len(wanted),
            next_sentence=None,
            next_right=None,
        )
        follows = batch.get("next_sentence_label")
        return losses if follows is None else _with_next(losses, outputs, follows)

    def remove(self) -> None:
        """Restore the head: it works at every position again."""
        self._hook.remove()

    def _select(self, _: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[torch.Tensor]:
        return (inputs[0][self._chosen],)


def _with_next(losses: Losses, outputs: Any, follows: torch.Tensor) -> Losses:
    logits = outputs.seq_relationship_logits.float()
    return Losses(
        words=losses.words,
        right=losses.right,
        count=losses.count,
        next_sentence=cross_entropy(logits, follows),
        next_right=(logits.argmax(-1) == follows).sum(),
    )


def new_config(
    size: Size, tokenizer: transformers.PreTrainedTokenizerFast, max_length: int
) -> transformers.BertConfig:
    """Describe a BERT of that size for that vocabulary, which reads `max_length` tokens."""
    return transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.hidden,
        max_position_embeddings=max_length,
        pad_token_id=tokenizer.pad_token_id,
    )


def make_model(
    config: transformers.PretrainedConfig, base: Path | None, *, next_sentence: bool
) -> transformers.PreTrainedModel:
    """Load `base` with the heads it lacks made new, or make all of it new."""
    kind: Any = transformers.AutoModelForMaskedLM
    if next_sentence:
        kind = transformers.AutoModelForPreTraining
    if base is None:
        return kind.from_config(config)
    model, _ = load_base(base, config, kind)
    return model
