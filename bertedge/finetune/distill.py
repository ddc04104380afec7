"""A student with fewer layers, made of its teacher's or of another model's."""

import copy
import re
from typing import Any

import transformers

_LAYER = re.compile(r"^(.*\.layer\.)(\d+)(\..*)$")


def kept_layers(teacher: int, student: int) -> list[int]:
    """Return the layers that a student keeps: evenly spaced, the last one always.

    The head was trained on the last one's output, and each layer of the student then stands for
    as many layers of the teacher as any other: 6 to 3 keeps 1, 3 and 5.
    """
    return [(i + 1) * teacher // student - 1 for i in range(student)]


def comparable(
    student: transformers.PreTrainedModel, teacher: transformers.PreTrainedModel
) -> bool:
    """Return whether each of the student's hidden states has one of the teacher's to be like."""
    one, other = student.config, teacher.config
    return bool(
        one.hidden_size == other.hidden_size and one.num_hidden_layers <= other.num_hidden_layers
    )


def make_student(teacher: transformers.PreTrainedModel, layers: int) -> Any:
    """Copy a model with evenly spaced layers of it; embeddings and head come along."""
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = layers
    student = type(teacher)(config)
    kept = kept_layers(int(teacher.config.num_hidden_layers), layers)
    weights = {}
    for name, tensor in teacher.state_dict().items():
        match = _LAYER.match(name)
        if match is None:
            weights[name] = tensor
        elif int(match[2]) in kept:
            weights[f"{match[1]}{kept.index(int(match[2]))}{match[3]}"] = tensor
    student.load_state_dict(weights)
    return student
