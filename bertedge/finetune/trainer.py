"""Hugging Face's Trainer, with a loss that is a sum of terms."""

from collections.abc import Sequence
from typing import Any

import torch
import transformers

from bertedge.finetune.losses import Batch, LossTerm
from bertedge.finetune.objectives import LabelLoss
from bertedge.tasks.token_classification import IGNORED


class FinetuneTrainer(transformers.Trainer):
    """Sums the terms in training; in evaluation the loss is that of the labels alone."""

    def __init__(
        self,
        *,
        label_loss: LabelLoss,
        terms: Sequence[LossTerm],
        output_hidden_states: bool,
        **settings: Any,
    ) -> None:
        # With a loss of its own, Trainer counts the labels of a step and divides nothing itself.
        super().__init__(compute_loss_func=label_loss, **settings)
        self._label_loss, self._terms = label_loss, terms
        self._called_with = {"output_hidden_states": True} if output_hidden_states else {}

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the loss `()`, and the outputs where they are asked for."""
        labels = inputs["labels"]
        plain = {name: tensor for name, tensor in inputs.items() if name != "labels"}
        outputs = model(**plain, **(self._called_with if model.training else {}))
        if not model.training:
            loss = self._label_loss(outputs, labels, (labels != IGNORED).sum())
            return (loss, outputs) if return_outputs else loss
        batch = Batch(
            inputs=plain,
            labels=labels,
            step_labels=self._own_share(labels, num_items_in_batch),
            step_batches=self.current_gradient_accumulation_steps,
        )
        loss = torch.stack([term(model, batch, outputs) for term in self._terms]).sum()
        return (loss, outputs) if return_outputs else loss

    def _own_share(self, labels: torch.Tensor, counted: Any) -> Any:
        """Return the labels of a step for each process, whose gradients are averaged."""
        if counted is None:
            return (labels != IGNORED).sum()
        processes = self.accelerator.num_processes
        return counted / processes if self.args.average_tokens_across_devices else counted
