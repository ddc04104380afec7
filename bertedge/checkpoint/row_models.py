"""Models of our own around those of transformers: every row of tokens has its logits."""

import torch
import transformers
from transformers.modeling_outputs import SequenceClassifierOutput

from bertedge.spec import LabelKind, ModelSpec, Pooling, PoolingMode


def row_model(model: transformers.PreTrainedModel, spec: ModelSpec) -> transformers.PreTrainedModel:
    """Return the model that engines run and graphs are made of; mostly it is `model` itself."""
    if spec.pooling is not None:
        return add_pooling(model, spec.pooling)
    return ChoiceScorer(model) if spec.task.labels_are is LabelKind.CHOICES else model


class RowModel(transformers.PreTrainedModel):
    """A model in the shape of a text classifier, whatever transformers' own is like."""

    base_model_prefix = "encoder"
    _supports_sdpa = True  # as the encoder does, which settled that already


class Embedder(RowModel):
    """An encoder with its pooling, in the shape of a text classifier."""

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
        """Return the embeddings `(batch, hidden)` as the logits."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        found = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types)
        pooled = _pool(found.last_hidden_state, attention_mask, self._pooling.mode)
        if self._pooling.normalized:
            pooled = pooled / pooled.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return SequenceClassifierOutput(logits=pooled)


class ChoiceScorer(RowModel):
    """A model of choices, which takes them in groups, with its head on one row at a time."""

    def __init__(self, model: transformers.PreTrainedModel) -> None:
        super().__init__(model.config)
        self.encoder = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Return the logit of each row `(batch, 1)`."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        model = self.encoder
        found = model.base_model(input_ids=input_ids, attention_mask=attention_mask, **types)
        if hasattr(model, "sequence_summary"):  # ELECTRA
            pooled = model.sequence_summary(found.last_hidden_state)
        elif hasattr(model, "pre_classifier"):  # DistilBERT
            pooled = model.pre_classifier(found.last_hidden_state[:, 0]).relu()
        else:
            pooled = found.pooler_output
        return SequenceClassifierOutput(logits=model.classifier(pooled))


def add_pooling(encoder: transformers.PreTrainedModel, pooling: Pooling) -> Embedder:
    """Put `pooling` behind an encoder; a pooler of its own, which it does not read, goes."""
    if hasattr(encoder, "pooler"):
        encoder.pooler = None
    return Embedder(encoder, pooling)


def _pool(hidden: torch.Tensor, mask: torch.Tensor, mode: PoolingMode) -> torch.Tensor:
    match mode:
        case PoolingMode.CLS:
            return hidden[:, 0]
        case PoolingMode.MEAN:
            weights = mask.to(hidden.dtype).unsqueeze(-1)
            return (hidden * weights).sum(dim=1) / weights.sum(dim=1)
