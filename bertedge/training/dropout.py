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
        elif hasattr(module, "dropout_prob"):  # what attention in one call is given
            module.dropout_prob = share
