"""The parameters that an optimizer moves, in groups of one learning rate and one weight decay."""

import re
from collections.abc import Collection
from typing import Any

import torch
import transformers

_LAYER = re.compile(r"\.layer\.(\d+)\.")
_EMBEDDINGS = re.compile(r"(?:^|\.)embeddings(?:_project)?\.")  # the second is ELECTRA's


def depth_of(name: str, layers: int) -> int:
    """Return how far up a parameter lies in a model of so many layers, by its name.

    The embeddings are 0, the layers 1 to `layers`; all else, a pooler too, is the head, one more.
    """
    layer = _LAYER.search(name)
    if layer is not None:
        return int(layer[1]) + 1
    return 0 if _EMBEDDINGS.search(name) else layers + 1


def parameter_groups(
    model: transformers.PreTrainedModel,
    *,
    decayed: Collection[str],
    weight_decay: float,
    learning_rate: float,
    layer_decay: float,
) -> list[dict[str, Any]]:
    """Return the groups of a torch optimizer, highest rate first, of all trainable parameters.

    The learning rate of depth `d` is `learning_rate * layer_decay ** (layers + 1 - d)`: the head
    has all of it, the embeddings least (Howard and Ruder 2018, arXiv:1801.06146, 3.2; Clark et al.
    2020, arXiv:2003.10555, appendix A). Parameters that are not `decayed` have no weight decay.
    """
    layers = int(model.config.num_hidden_layers)
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = learning_rate * layer_decay ** (layers + 1 - depth_of(name, layers))
            decay = weight_decay if name in decayed else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in sorted(
            groups.items(), key=lambda group: group[0], reverse=True
        )
    ]
