"""Which parameters are trained: all, the upper layers, the biases, the head alone."""

from dataclasses import dataclass

import torch
import transformers

from bertedge.finetune.layers import count_layers, depth_of
from bertedge.finetune.settings.trained import AUTO, TrainedParametersConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterCounts:
    """How many numbers a model has, and how many of them are trained."""

    trained: int
    all: int

    def __str__(self) -> str:
        """Return what is said before training."""
        share = self.trained / self.all
        return f"trains {self.trained:,} of {self.all:,} parameters ({share:.2%})"


def select_parameters(model: transformers.PreTrainedModel, config: TrainedParametersConfig) -> None:
    """Exclude from training what the config leaves out; the head, with a pooler, is always trained.

    BitFit trains the biases of the layers, those of their LayerNorms too, and none of their
    matrices (Ben Zaken et al. 2022, arXiv:2106.10199).
    """
    layers = count_layers(model.config)
    lowest = lowest_depth(config, layers)
    for name, parameter in model.named_parameters():
        depth = depth_of(name, layers)
        only_biases = config.bitfit and depth <= layers
        if depth < lowest or (only_biases and not name.endswith(".bias")):
            parameter.requires_grad_(False)


def lowest_depth(config: TrainedParametersConfig, layers: int) -> int:
    """Return the lowest depth (see `depth_of`) that is trained in a model of so many layers."""
    if config.train_layers is not None:
        return layers + 1 - config.train_layers
    if config.freeze in (None, AUTO):
        return 0
    return 1 + (config.freeze if isinstance(config.freeze, int) else 0)


def count_parameters(model: torch.nn.Module) -> ParameterCounts:
    """Count a model's parameters; those that it uses twice count once."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return ParameterCounts(
        trained=sum(size for size, trained in sizes if trained), all=sum(size for size, _ in sizes)
    )
