"""Where the embeddings and the layers of an encoder are, whatever its architecture calls them."""

import re

import torch
import transformers

_LAYER = re.compile(r"(?:^|\.)(?:layers?|albert_layer_groups)\.(\d+)\.")
_PROJECTIONS = ("embeddings_project", "encoder.embedding_hidden_mapping_in")
"""From the embeddings' width to the layers': ELECTRA's and ALBERT's."""
_DISTANCES = ("encoder.rel_embeddings", "encoder.LayerNorm", "encoder.relative_attention_bias")
"""What all layers read of the distance of two tokens: DeBERTa's, with its norm, and MPNet's."""
_EMBEDDINGS = re.compile(
    rf"(?:^|\.)(?:embeddings|{'|'.join(map(re.escape, (*_PROJECTIONS, *_DISTANCES)))})\."
)


def layers_of(model: transformers.PreTrainedModel) -> list[torch.nn.Module]:
    """Return the encoder's layers, lowest first; those that share their weights are one."""
    base = model.base_model
    parent = getattr(base, "encoder", None) or getattr(base, "transformer", base)
    names = ("layer", "layers", "albert_layer_groups")
    return list(next(getattr(parent, name) for name in names if hasattr(parent, name)))


def stem_of(model: transformers.PreTrainedModel) -> list[torch.nn.Module]:
    """Return what runs before the layers: the embeddings, and a projection of them."""
    base = model.base_model
    return [base.embeddings, *_parts(base, _PROJECTIONS)]


def distances_of(model: transformers.PreTrainedModel) -> list[torch.nn.Module]:
    """Return the embeddings of distances, which all layers read, with a norm of theirs."""
    return _parts(model.base_model, _DISTANCES)


def count_layers(config: transformers.PretrainedConfig) -> int:
    """Return how many layers have weights of their own; ALBERT runs one again and again."""
    return int(getattr(config, "num_hidden_groups", config.num_hidden_layers))


def attention_period(config: transformers.PretrainedConfig) -> int:
    """Return after how many layers the kinds of attention begin again; 1 where all are alike.

    Of ModernBERT every third layer reads the whole text, the others what is near.
    """
    if config.model_type != "modernbert":
        return 1
    kinds = getattr(config, "layer_types", None)  # since transformers 5
    if kinds is None:
        return int(config.global_attn_every_n_layers)
    return next((i for i in range(1, len(kinds)) if kinds[i] == kinds[0]), len(kinds))


def depth_of(name: str, layers: int) -> int:
    """Return how far up a parameter lies in a model of so many layers, by its name.

    The embeddings are 0, the layers 1 to `layers`; all else, a pooler too, is the head, one more.
    """
    layer = _LAYER.search(name)
    if layer is not None:
        return int(layer[1]) + 1
    return 0 if _EMBEDDINGS.search(name) else layers + 1


def _parts(base: torch.nn.Module, names: tuple[str, ...]) -> list[torch.nn.Module]:
    modules = dict(base.named_modules())
    return [modules[name] for name in names if name in modules]
