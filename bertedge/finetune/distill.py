"""A student with fewer layers, made of its teacher's and taught by it."""

import copy
import re
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch.nn import functional

from bertedge.checkpoint import logits_of
from bertedge.finetune.features import IGNORED
from bertedge.heads import Heads

NEVER = -1e4
"""The logit of padding."""
_LAYER = re.compile(r"^(.*\.layer\.)(\d+)(\..*)$")
_MULTI_LABEL = "multi_label_classification"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a student learns from beside the labels, and how much each of it counts."""

    teacher: transformers.PreTrainedModel
    temperature: float
    soft: float
    """Share of the teacher's soft labels in the loss; the hard labels have the rest."""
    hidden: float
    """Weight of the hidden states' mean squared distance."""
    heads: Heads | None = None
    """Where texts have intents and words tags, each taught by its own soft labels."""


def kept_layers(teacher: int, student: int) -> list[int]:
    """Say which layers a student keeps: evenly spaced, the last one always.

    The head was trained on the last one's output, and each layer of the student then stands for
    as many layers of the teacher as any other: 6 to 3 keeps 1, 3 and 5.
    """
    return [(i + 1) * teacher // student - 1 for i in range(student)]


def make_student(teacher: transformers.PreTrainedModel, layers: int) -> Any:
    """Copy the teacher with evenly spaced layers of it; embeddings and head come along."""
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


def soft_loss(
    student: torch.Tensor, teacher: torch.Tensor, *, temperature: float, problem_type: str | None
) -> torch.Tensor:
    """Compare logits `(rows, labels)`: how far the student is from the teacher's soft labels.

    One label: Kullback-Leibler divergence at `temperature`, times its square, which keeps the
    gradient's size (Hinton et al., 2015). Several: the same of each label's own probability. A
    value: squared difference.
    """
    if student.shape[-1] == 1 and problem_type != _MULTI_LABEL:
        return functional.mse_loss(student, teacher)
    student, teacher = student / temperature, teacher / temperature
    if problem_type == _MULTI_LABEL:
        # A label and its absence are two classes, with the logits z and 0.
        student = torch.stack((student, torch.zeros_like(student)), dim=-1).flatten(0, -2)
        teacher = torch.stack((teacher, torch.zeros_like(teacher)), dim=-1).flatten(0, -2)
    divergence = functional.kl_div(
        student.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="batchmean"
    )
    return divergence * temperature**2


def hidden_loss(
    student: tuple[torch.Tensor, ...], teacher: tuple[torch.Tensor, ...], mask: torch.Tensor
) -> torch.Tensor:
    """Compare hidden states `(batch, sequence, hidden)` where `mask` is 1, mean over layers.

    Both begin with the embeddings' output; a layer of the student is held against the one whose
    weights it started from.
    """
    kept = kept_layers(len(teacher) - 1, len(student) - 1)
    pairs = [(0, 0), *((i + 1, layer + 1) for i, layer in enumerate(kept))]
    real = mask.bool()
    losses = [
        functional.mse_loss(student[i][real].float(), teacher[j][real].float()) for i, j in pairs
    ]
    return torch.stack(losses).mean()


class Distiller(transformers.Trainer):
    """Trainer that adds a teacher's soft labels and hidden states to the loss."""

    lesson: Lesson

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Give the loss of the labels alone in evaluation, and of all three in training."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        lesson = self.lesson
        hard, outputs = super().compute_loss(
            model, inputs | {"output_hidden_states": True}, True, num_items_in_batch
        )
        plain = {name: tensor for name, tensor in inputs.items() if name != "labels"}
        with torch.no_grad():
            answers = lesson.teacher(**plain, output_hidden_states=True)
        pairs = zip(
            _rows(outputs, inputs, lesson.heads),
            _rows(answers, inputs, lesson.heads),
            strict=True,
        )
        problem = lesson.teacher.config.problem_type
        soft = sum(
            soft_loss(own, taught, temperature=lesson.temperature, problem_type=problem)
            for own, taught in pairs
            if len(own)
        )
        hidden = hidden_loss(
            outputs["hidden_states"], answers.hidden_states, inputs["attention_mask"]
        )
        taught = lesson.soft * soft + lesson.hidden * hidden
        if self.model_accepts_loss_kwargs or self.compute_loss_func is not None:
            # `hard` is a share of all accumulated batches then, and Trainer divides no more.
            taught = taught / self.current_gradient_accumulation_steps
        loss = (1 - lesson.soft) * hard + taught
        return (loss, outputs) if return_outputs else loss


def _rows(
    outputs: Any, inputs: dict[str, torch.Tensor], heads: Heads | None
) -> tuple[torch.Tensor, ...]:
    """Take the logits that have a label: of texts, or of the pieces that begin a word.

    With two heads those of each head, in its own columns. Of answers it is those of all tokens, to
    begin and to end at: `(2 x windows, sequence)`.
    """
    logits, labels = logits_of(outputs).float(), inputs["labels"]
    if "start_logits" in outputs:
        padding = inputs["attention_mask"].unsqueeze(-1) == 0
        return (logits.masked_fill(padding, NEVER).transpose(1, 2).flatten(0, 1),)
    if logits.ndim == 2:
        return (logits,)
    labelled = labels != IGNORED
    if heads is None:
        return (logits[labelled],)
    intents = labelled & (labels < heads.tag_columns.start)
    tags = labelled & ~intents
    return logits[intents][:, heads.intent_columns], logits[tags][:, heads.tag_columns]
