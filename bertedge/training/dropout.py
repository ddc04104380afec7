"""The dropout of a model, whatever its architecture calls it (Srivastava et al. 2014)."""

import copy

import torch
import transformers

_ATTENTION = ("attention_probs_dropout_prob", "attention_dropout")
"""What configs call the rate of attention's probabilities."""
_RATES = ("dropout_prob", "attention_dropout")
"""What modules call a rate that they give to attention in one call."""


def set_dropout(model: transformers.PreTrainedModel, share: float) -> None:
    """Set the rate of every dropout of the model to `share`; its config stays as it is.

    That is of hidden states, of attention and of what the head reads.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share
        for name in _RATES:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)


def keep_attention_whole(model: transformers.PreTrainedModel) -> None:
    """Leave no probability of attention out; other dropout and the config stay as they are.

    A random number for every pair of tokens in every head takes longer than the attention itself:
    PyTorch on a CPU has no kernel that does both.
    """
    config = copy.deepcopy(model.config)
    for name in _ATTENTION:
        if getattr(config, name, None):
            setattr(config, name, 0.0)
    with torch.device("meta"):
        wanted = dict(type(model)(config).named_modules())
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = getattr(wanted[path], "p", 0.0)  # no module at all where it is 0
        for name in _RATES:
            if hasattr(module, name):
                setattr(module, name, getattr(wanted[path], name))
