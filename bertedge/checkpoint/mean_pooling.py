"""A classifier on the mean of hidden states, which transformers has not for BERT.

A checkpoint of it holds a copy of this file, by which
`AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)` opens it where
bertedge is not installed: it imports torch and transformers, nothing else.
"""

import functools
import inspect
from typing import Any

import torch
import transformers
from transformers.modeling_outputs import SequenceClassifierOutput


class MeanPoolingForSequenceClassification(transformers.PreTrainedModel):
    """A linear classifier on the mean of an encoder's last hidden states.

    An encoder of sentence embeddings has learnt to tell texts apart by that mean, and [CLS] of a
    base that never learnt to predict the next sentence has learnt nothing.
    """

    supports_gradient_checkpointing = True  # the encoder's layers do it
    _supports_sdpa = True  # as the encoder does, which settled that already
    _auto_class = "AutoModelForSequenceClassification"  # that a saved config says opens it

    def __init__(self, config: transformers.PretrainedConfig) -> None:
        encoder = transformers.AutoModel.from_config(config)  # which settles its attention
        super().__init__(config)
        if hasattr(encoder, "pooler"):
            encoder.pooler = None
        self._token_types = "token_type_ids" in inspect.signature(encoder.forward).parameters
        self.base_model_prefix = encoder.base_model_prefix
        setattr(self, self.base_model_prefix, encoder)  # the name that its weights have in files
        self.dropout = torch.nn.Dropout(head_dropout(config))
        self.mean_classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @classmethod
    def from_config(cls, config: transformers.PretrainedConfig, **_: Any) -> Any:
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
        if attention_mask is None:
            attention_mask = torch.ones(found.last_hidden_state.shape[:2]).to(self.device)
        pooled = mean_of_tokens(found.last_hidden_state, attention_mask)
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
    return type(MeanPoolingForSequenceClassification.__name__, bases, own)


def mean_of_tokens(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Compute the mean `(batch, hidden)` of hidden states `(batch, sequence, hidden)`.

    Positions count where `mask` `(batch, sequence)` is 1.
    """
    weights = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def head_dropout(config: transformers.PretrainedConfig) -> float:
    """Return the dropout before a classifier of texts, by the name that the config has for it."""
    named = (getattr(config, name, None) for name in _DROPOUTS)
    return float(next((each for each in named if each is not None), 0.0))


_DROPOUTS = (
    *("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout"),
    "hidden_dropout_prob",
)
