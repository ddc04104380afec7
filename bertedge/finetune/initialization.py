"""Where a new head starts, by what the data says of an unread text, and new layers."""

import copy

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.features import Features, label_counts
from bertedge.finetune.layers import layers_of
from bertedge.finetune.settings.regularization import ClassWeights
from bertedge.spec import ProblemType

Floats = NDArray[np.float64]


def initialize_bias(
    model: transformers.PreTrainedModel, new: set[str], config: FinetuneConfig, train: Features
) -> None:
    """Set the bias of the head's last layer, if that is among the `new` parameters.

    A bias moves by a learning rate a step; the log-odds of rare labels among several a text, or the
    mean of values, are thousands of steps from zero, and until there the weights of the text's
    vector make up for it. (The prior of Lin et al. 2017, "Focal Loss for Dense Object Detection",
    3.3.)
    """
    classes = model.config.num_labels
    last = [
        parameter
        for name, parameter in model.named_parameters()
        if name in new and name.endswith(".bias") and parameter.shape == (classes,)
    ]
    start = prior_logits(config, train, classes) if last else None
    if start is not None:
        with torch.no_grad():
            last[-1].copy_(torch.from_numpy(start))


def reinitialize(model: transformers.PreTrainedModel, layers: int) -> None:
    """Reset the top layers to the random weights of a new model, and with them a pooler.

    What they have learnt in pretraining is the most special to it, and a worse start for few rows
    than none (Zhang et al. 2021, arXiv:2006.05987, section 5).
    """
    if not layers:
        return
    base = model.base_model
    parts = [*layers_of(model)[-layers:], getattr(base, "pooler", None)]
    for part in parts:
        for module in part.modules() if part is not None else ():
            for parameter in module.parameters(recurse=False):  # loaded ones transformers 5 keeps
                parameter._is_hf_initialized = False
            base._init_weights(module)


def renew_labels(model: transformers.PreTrainedModel, new: set[str]) -> set[str]:
    """Replace the weights that each label has of its own by the random ones of a new model.

    Returns the names of these parameters, without those that are `new` already.
    """
    config = copy.deepcopy(model.config)
    config.num_labels += 1
    with torch.device("meta"):  # shapes alone: nothing is allocated
        wider = dict(type(model)(config).named_parameters())
    own = dict(model.named_parameters())
    found = {name for name in own if own[name].shape != wider[name].shape} - new
    if found:
        fresh = type(model)(model.config).state_dict()
        with torch.no_grad():
            for name in found:
                own[name].copy_(fresh[name])
    return found


def prior_logits(config: FinetuneConfig, train: Features, classes: int) -> Floats | None:
    """Return the logits `(classes,)` that have the least loss if the text is not looked at.

    None for classes: what counts there is how logits differ, and zero is a fair start (SNIPS'
    frames come out worse from the classes' log-odds). None too where labels are balanced.
    """
    if config.class_weights is ClassWeights.BALANCED:
        return None
    match config.problem_type:
        case ProblemType.REGRESSION:
            return np.array([np.mean(train.data["labels"])])
        case ProblemType.MULTI_LABEL:
            counts, texts = label_counts(train, config, classes), train.data.num_rows
            return np.asarray(np.log(counts + 0.5) - np.log(texts - counts + 0.5))
        case ProblemType.SINGLE_LABEL:
            return None
