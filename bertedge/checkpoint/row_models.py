"""Models of our own around those of transformers: every row of tokens has its logits."""

from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

from bertedge.checkpoint.layers import LOG_SIGMOID, Layer, Layers, read_layers
from bertedge.checkpoint.mean_pooling import mean_of_tokens
from bertedge.spec import LabelKind, ModelSpec, Pooling, PoolingMode


def row_model(
    model: transformers.PreTrainedModel, spec: ModelSpec, folder: Path = Path()
) -> transformers.PreTrainedModel:
    """Return the model that engines run and graphs are made of; mostly it is `model` itself.

    `folder` is that of the checkpoint, where layers behind the pooling lie.
    """
    if spec.pooling is not None:
        return add_pooling(model, spec.pooling, read_layers(folder, spec))
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
    """An encoder with its pooling, whose logits are embeddings `(batch, hidden)`.

    Or those of a classifier on embeddings `(batch, labels)`.
    """

    def __init__(
        self, encoder: transformers.PreTrainedModel, pooling: Pooling, layers: Layers
    ) -> None:
        super().__init__(encoder)
        self._pooling = pooling
        self._dense = torch.nn.ModuleList(map(Dense, layers.dense))
        self._head = None if layers.head is None else Dense(layers.head)

    def head(self, found: BaseModelOutput, mask: torch.Tensor) -> torch.Tensor:
        """Pool the hidden states, and run the layers behind."""
        pooled = pool(found.last_hidden_state, mask, self._pooling.mode)
        for layer in self._dense:
            pooled = layer(pooled)
        if self._pooling.normalized:
            pooled = pooled / pooled.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return pooled if self._head is None else self._head(pooled)


class Dense(torch.nn.Module):
    """A product with a bias and an activation."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        outputs, inputs = layer.weight.shape
        self.linear = torch.nn.Linear(inputs, outputs, bias=layer.bias is not None)
        self.linear.weight.data = torch.from_numpy(layer.weight.copy())
        if layer.bias is not None:
            self.linear.bias.data = torch.from_numpy(layer.bias.copy())
        self.activation = _ACTIVATIONS[layer.activation]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return `(batch, outputs)`."""
        return self.activation(self.linear(values))


_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
    "sigmoid": torch.sigmoid,
    "linear": lambda values: values,
    # Not the function of that name: its graph takes the logarithm of what may be 0.
    LOG_SIGMOID: lambda values: -torch.nn.functional.softplus(-values),
}


class ChoiceScorer(RowModel):
    """A model of choices, which takes them in groups, with its head on one row at a time."""

    def head(self, found: BaseModelOutput, mask: torch.Tensor) -> torch.Tensor:
        """Compute the logit of each row `(batch, 1)`."""
        model, hidden = self.encoder, found.last_hidden_state
        if hasattr(model, "sequence_summary"):  # ELECTRA
            pooled = model.sequence_summary(hidden)
        elif hasattr(model, "pre_classifier"):  # DistilBERT
            pooled = model.pre_classifier(hidden[:, 0]).relu()
        elif hasattr(model, "pooler"):  # DeBERTa, whose pooler is no part of the encoder
            pooled = model.pooler(hidden)
        elif hasattr(model, "head"):  # ModernBERT
            pooled = model.head(pool(hidden, mask, PoolingMode(model.config.classifier_pooling)))
        else:
            pooled = found.pooler_output
        logits: torch.Tensor = model.classifier(pooled)
        return logits


def add_pooling(
    encoder: transformers.PreTrainedModel, pooling: Pooling, layers: Layers
) -> Embedder:
    """Put `pooling` behind an encoder; a pooler of its own, which it does not read, goes."""
    if hasattr(encoder, "pooler"):
        encoder.pooler = None
    return Embedder(encoder, pooling, layers)


def pool(hidden: torch.Tensor, mask: torch.Tensor, mode: PoolingMode) -> torch.Tensor:
    """Pool hidden states `(batch, sequence, hidden)` to `(batch, hidden)` where `mask` is 1."""
    match mode:
        case PoolingMode.CLS:
            return hidden[:, 0]
        case PoolingMode.MEAN:
            return mean_of_tokens(hidden, mask)
        case PoolingMode.MAX:
            lowest = torch.finfo(hidden.dtype).min
            return hidden.masked_fill(mask[..., None] == 0, lowest).amax(dim=1)
        case PoolingMode.MEAN_SQRT_LEN:
            count = mask.sum(dim=1, keepdim=True).to(hidden.dtype)
            return mean_of_tokens(hidden, mask) * count.sqrt()
