"""How well a model predicts what it was not trained on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import transformers

from bertedge.pretrain.collator import Item, collate
from bertedge.pretrain.head import MaskedTokenHead
from bertedge.training.config import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A point of the curve that a run leaves."""

    step: int
    seconds: float
    """Of the run so far, checks included."""
    perplexity: float
    """exp of the mean cross entropy of the held-out masked tokens."""
    accuracy: float
    """Share of them that the model puts first."""
    next_sentence_accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The held-out rows, masked once and for all, and how they are run."""

    items: Sequence[Item]
    pad: int
    batch_size: int
    precision: Precision

    def check(
        self, model: transformers.PreTrainedModel, head: MaskedTokenHead, step: int, seconds: float
    ) -> Check:
        """Measure; the model's mode and all random states stay as they were."""
        training, device = model.training, model.device
        model.eval()
        loss, right, next_right, tokens = 0.0, 0, 0, 0
        bf16 = self.precision is Precision.BF16
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            for start in range(0, len(self.items), self.batch_size):
                batch = collate(self.items[start : start + self.batch_size], self.pad)
                losses = head(model, {k: v.to(device) for k, v in batch.items()})
                loss += float(losses.words) * losses.count
                right += int(losses.right)
                tokens += losses.count
                next_right += int(losses.next_right) if losses.next_right is not None else 0
        model.train(training)
        pairs = self.items[0].next_sentence is not None
        return Check(
            step=step,
            seconds=round(seconds, 1),
            perplexity=math.exp(min(loss / tokens, 700.0)),
            accuracy=right / tokens,
            next_sentence_accuracy=next_right / len(self.items) if pairs else None,
        )
