"""A student with fewer layers, made of its teacher's or of another model's."""

import copy
import re
from typing import Any

import transformers

from bertedge.finetune.layers import attention_period

_LAYER = re.compile(r"^((?:.*\.)?layers?\.)(\d+)(\..*)$")


def kept_layers(teacher: int, student: int, period: int = 1) -> list[int]:
    """Return the layers that a student keeps: evenly spaced, the last one always.

    The head was trained on the last one's output, and each layer of the student then stands for
    as many layers of the teacher as any other: 6 to 3 keeps 1, 3 and 5. Where the kinds of
    attention begin again after a `period`, each is the nearest that has its kind in both.
    """
    even = [(i + 1) * teacher // student - 1 for i in range(student)]
    if period == 1:
        return even
    kept = [0]  # the one layer without a norm before it
    for i in range(1, student):
        there = range(kept[-1] + 1, teacher - student + i + 1)
        alike = [layer for layer in there if (layer - i) % period == 0]
        kept.append(min(alike, key=lambda layer: abs(layer - even[i])))
    return kept


def comparable(
    student: transformers.PreTrainedModel, teacher: transformers.PreTrainedModel
) -> bool:
    """Return whether each of the student's hidden states has one of the teacher's to be like."""
    one, other = student.config, teacher.config
    return bool(
        one.hidden_size == other.hidden_size and one.num_hidden_layers <= other.num_hidden_layers
    )


def make_student(teacher: transformers.PreTrainedModel, layers: int) -> Any:
    """Copy a model with evenly spaced layers of it; embeddings and head come along.

    A model whose layers share their weights runs them so many times.
    """
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    student = type(teacher)(config)
    whole = int(teacher.config.num_hidden_layers)
    kept = kept_layers(whole, layers, attention_period(teacher.config))
    weights = {}
    for name, tensor in teacher.state_dict().items():
        match = _LAYER.match(name)
        if match is None:
            weights[name] = tensor
        elif int(match[2]) in kept:
            weights[f"{match[1]}{kept.index(int(match[2]))}{match[3]}"] = tensor
    student.load_state_dict(weights)
    return student
