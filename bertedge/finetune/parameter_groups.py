"""The parameters that an optimizer moves, in groups of one learning rate and one weight decay."""

from collections.abc import Collection
from typing import Any

import torch
import transformers

from bertedge.finetune.layers import count_layers, depth_of


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
    layers = count_layers(model.config)
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
