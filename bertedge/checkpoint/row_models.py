"""Models of our own around those of transformers: every row of tokens has its logits."""

import functools
import inspect
from typing import Any

import torch
import transformers
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

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

    def __init__(self, model: transformers.PreTrainedModel) -> None:
        super().__init__(model.config)
        self.encoder = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Return the logits `(batch, …)`."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        encoder = self.encoder.base_model
        found = encoder(input_ids=input_ids, attention_mask=attention_mask, **types)
        return SequenceClassifierOutput(logits=self.head(found, attention_mask))

    def head(self, found: BaseModelOutput, mask: torch.Tensor) -> torch.Tensor:
        """Compute the logits from what the encoder gave."""
        raise NotImplementedError


class Embedder(RowModel):
    """An encoder with its pooling, whose logits are embeddings `(batch, hidden)`."""

    def __init__(self, encoder: transformers.PreTrainedModel, pooling: Pooling) -> None:
        super().__init__(encoder)
        self._pooling = pooling

    def head(self, found: BaseModelOutput, mask: torch.Tensor) -> torch.Tensor:
        """Pool the hidden states."""
        pooled = pool(found.last_hidden_state, mask, self._pooling.mode)
        if self._pooling.normalized:
            pooled = pooled / pooled.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return pooled


class ChoiceScorer(RowModel):
    """A model of choices, which takes them in groups, with its head on one row at a time."""

    def head(self, found: BaseModelOutput, mask: torch.Tensor) -> torch.Tensor:
        """Compute the logit of each row `(batch, 1)`."""
        model, hidden = self.encoder, found.last_hidden_state
        if hasattr(model, "sequence_summary"):  # ELECTRA
            pooled = model.sequence_summary(hidden)
        elif hasattr(model, "pre_classifier"):  # DistilBERT
            pooled = model.pre_classifier(hidden[:, 0]).relu()
        else:
            pooled = found.pooler_output
        logits: torch.Tensor = model.classifier(pooled)
        return logits


class MeanPoolingForSequenceClassification(RowModel):
    """A linear classifier on the mean of an encoder's last hidden states.

    An encoder of sentence embeddings has learnt to tell texts apart by that mean, and [CLS] of a
    base that never learnt to predict the next sentence has learnt nothing. `transformers` has no
    such head for BERT; its `AutoModel` opens the encoder. See `mean_pooling_class`.
    """

    supports_gradient_checkpointing = True  # the encoder's layers do it

    def __init__(self, config: transformers.PretrainedConfig) -> None:
        encoder = transformers.AutoModel.from_config(config)
        if hasattr(encoder, "pooler"):
            encoder.pooler = None
        transformers.PreTrainedModel.__init__(self, config)
        self._token_types = "token_type_ids" in inspect.signature(encoder.forward).parameters
        setattr(self, self.base_model_prefix, encoder)  # the name that its weights have in files
        self.dropout = torch.nn.Dropout(head_dropout(config))
        self.mean_classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @classmethod
    def from_config(cls, config: transformers.PretrainedConfig, **_: Any) -> "RowModel":
        """Make a model with random weights, as an Auto class does."""
        return cls(config)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        **more: Any,
    ) -> SequenceClassifierOutput:
        """Return the logits `(batch, labels)`; `more` goes to the encoder."""
        types = {"token_type_ids": token_type_ids} if self._token_types else {}
        found = self.base_model(
            input_ids=input_ids, attention_mask=attention_mask, **types, **more, return_dict=True
        )
        pooled = pool(found.last_hidden_state, attention_mask, PoolingMode.MEAN)
        logits = self.mean_classifier(self.dropout(pooled))
        return SequenceClassifierOutput(logits=logits, hidden_states=found.hidden_states)

    def _init_weights(self, module: torch.nn.Module) -> None:
        if isinstance(module, torch.nn.Linear):  # as the heads of transformers start
            torch.nn.init.normal_(module.weight, std=self.config.initializer_range)
            torch.nn.init.zeros_(module.bias)


@functools.cache
def mean_pooling_class(kind: type[transformers.PretrainedConfig]) -> Any:
    """Return the class of mean-pooling classifiers around the encoder that `kind` configures."""
    encoder = transformers.AutoModel._model_mapping[kind]
    bases = (MeanPoolingForSequenceClassification,)
    own = {"base_model_prefix": encoder.base_model_prefix, "config_class": kind}
    return type(MEAN_POOLING, bases, own)


MEAN_POOLING = MeanPoolingForSequenceClassification.__name__
"""In the `architectures` of a checkpoint's config."""


def head_dropout(config: transformers.PretrainedConfig) -> float:
    """Return the dropout before a classifier of texts, by the name that the config has for it."""
    named = (getattr(config, name, None) for name in _DROPOUTS)
    return float(next((each for each in named if each is not None), 0.0))


_DROPOUTS = ("classifier_dropout", "seq_classif_dropout", "hidden_dropout_prob")


def add_pooling(encoder: transformers.PreTrainedModel, pooling: Pooling) -> Embedder:
    """Put `pooling` behind an encoder; a pooler of its own, which it does not read, goes."""
    if hasattr(encoder, "pooler"):
        encoder.pooler = None
    return Embedder(encoder, pooling)


def pool(hidden: torch.Tensor, mask: torch.Tensor, mode: PoolingMode) -> torch.Tensor:
    """Pool hidden states `(batch, sequence, hidden)` to `(batch, hidden)` where `mask` is 1."""
    match mode:
        case PoolingMode.CLS:
            return hidden[:, 0]
        case PoolingMode.MEAN:
            weights = mask.to(hidden.dtype).unsqueeze(-1)
            return (hidden * weights).sum(dim=1) / weights.sum(dim=1)
