"""The dropout of a model, whatever its architecture calls it (Srivastava et al. 2014)."""

import torch
import transformers


def set_dropout(model: transformers.PreTrainedModel, share: float) -> None:
    """Set the rate of every dropout of the model to `share`; its config stays as it is.

    That is of hidden states, of attention and of what the head reads.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share
        for name in ("dropout_prob", "attention_dropout"):  # what attention in one call is given
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)
