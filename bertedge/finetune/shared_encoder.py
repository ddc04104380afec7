"""Several models with one encoder between them: what is learnt for one task, all of them have."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
import transformers

TASK = "task"
"""The column that says by number which task's a row is."""


class SharedEncoder(transformers.PreTrainedModel):
    """Models of one architecture with the embeddings and the layers of the first.

    Each keeps a pooler, where it has one, and its head for itself (hard parameter sharing, as in
    MT-DNN: Liu et al. 2019, arXiv:1901.11504, section 3). A batch is of one task alone.
    """

    supports_gradient_checkpointing = True  # the layers do it
    _supports_sdpa = True  # as the models do, which settled that already

    def __init__(self, models: Sequence[transformers.PreTrainedModel]) -> None:
        super().__init__(models[0].config)
        for model in models[1:]:
            for name, part in models[0].base_model.named_children():
                if name != "pooler":
                    setattr(model.base_model, name, part)
        self.models = torch.nn.ModuleList(models)
        self._typed = ["token_type_ids" in inspect.signature(x.forward).parameters for x in models]

    @property
    def base_model(self) -> Any:
        """Return the encoder, with the first model's pooler."""
        return self.models[0].base_model

    def get_input_embeddings(self) -> Any:
        """Return the word embeddings of all models."""
        return self.base_model.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
        """Replace the word embeddings of all models."""
        self.base_model.set_input_embeddings(value)

    def state_dict(self, *args: Any, **settings: Any) -> dict[str, Any]:
        """Return what there is to save: each tensor once, by its first name."""
        own = dict(self.named_parameters()) | dict(self.named_buffers())
        whole: dict[str, Any] = super().state_dict(*args, **settings)
        return {name: tensor for name, tensor in whole.items() if name in own}

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        task: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        **more: Any,
    ) -> Any:
        """Return the outputs of the model of a batch's task `(batch,)`."""
        number = int(task[0])
        types = {"token_type_ids": token_type_ids} if self._typed[number] else {}
        model = self.models[number]
        return model(input_ids=input_ids, attention_mask=attention_mask, **types, **more)
