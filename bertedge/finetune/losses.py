"""The loss of fine-tuning as a sum of terms; a technique is one more of them."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import transformers
from torch.nn import functional

from bertedge.finetune.adversarial import Attack
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.distill import kept_layers
from bertedge.finetune.layers import attention_period
from bertedge.finetune.mixup import Mixup
from bertedge.finetune.objectives import LabelLoss, Objective
from bertedge.spec import ProblemType


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch of training, on the model's device, and what it is a part of."""

    inputs: dict[str, torch.Tensor]
    """What the model is called with."""
    labels: torch.Tensor
    step_labels: Any
    """How many labels all batches of the optimizer step have together."""
    step_batches: int
    """How many batches the optimizer step has."""


class LossTerm(Protocol):
    """A part of the loss."""

    def __call__(self, model: torch.nn.Module, batch: Batch, outputs: Any) -> torch.Tensor:
        """Compute the batch's share of the term's mean over the optimizer step `()`.

        That is a sum over labels divided by `batch.step_labels`, or a mean over the batch divided
        by `batch.step_batches`. `outputs` are the model's, hidden states included.
        """


def loss_terms(
    config: FinetuneConfig,
    objective: Objective,
    teachers: Sequence[transformers.PreTrainedModel],
    *,
    hidden: bool = True,
    attack: Attack | None = None,
) -> list[LossTerm]:
    """Return the terms that the config asks for; `hidden`: hidden states can be compared.

    An `attack` is on the model that is trained.
    """
    soft = config.distillation_alpha if teachers else 0.0
    loss = objective.label_loss
    if config.mixup_alpha:
        loss = Mixup(loss, config.mixup_alpha)
    terms: list[LossTerm] = [labels_term(loss, weight=1 - soft)]
    taught = [Teacher(teacher) for teacher in teachers]
    if taught:
        terms.append(soft_labels(taught, objective, config))
    if attack is not None:  # before terms that run the model themselves: it knows the last pass
        terms.append(adversarial(attack, tuple(terms)))
    if taught and hidden:
        terms.append(hidden_states(taught[0], weight=config.distillation_hidden_weight))
    if config.rdrop_alpha:
        terms.append(r_drop(terms[0], objective, config))
    return terms


def labels_term(loss: LabelLoss, *, weight: float) -> LossTerm:
    """Return the term of the labels in the data."""

    def term(model: torch.nn.Module, batch: Batch, outputs: Any) -> torch.Tensor:
        mask = batch.inputs["attention_mask"]
        return weight * loss(outputs, batch.labels, batch.step_labels, mask)

    return term


class Teacher:
    """A frozen model that is run once a batch, whatever number of terms ask for its outputs."""

    def __init__(self, model: transformers.PreTrainedModel) -> None:
        self._model = model.eval()
        self.period = attention_period(model.config)
        self._takes = inspect.signature(model.forward).parameters  # a student may take more
        self._batch: Batch | None = None
        self._outputs: Any = None

    def __call__(self, batch: Batch) -> Any:
        """Return the outputs, hidden states included."""
        if self._batch is not batch:
            with torch.no_grad():
                self._model.to(batch.labels.device)
                inputs = {name: x for name, x in batch.inputs.items() if name in self._takes}
                self._outputs = self._model(**inputs, output_hidden_states=True)
            self._batch = batch
        return self._outputs


def soft_labels(
    teachers: Sequence[Teacher], objective: Objective, config: FinetuneConfig
) -> LossTerm:
    """Return the term that compares the model's logits with its teachers' (Hinton et al. 2015)."""
    temperature, kind = config.distillation_temperature, config.problem_type

    def term(model: torch.nn.Module, batch: Batch, outputs: Any) -> torch.Tensor:
        mask = batch.inputs["attention_mask"]
        own, *taught = (
            objective.labelled_logits(found, batch.labels, mask)
            for found in (outputs, *(teacher(batch) for teacher in teachers))
        )
        total = own[0].new_zeros(())
        for student, *each in zip(own, *taught, strict=True):
            if len(student):
                wanted = mean_logits(each, temperature=temperature, problem_type=kind)
                total = total + soft_loss(
                    student, wanted, temperature=temperature, problem_type=kind
                )
        return config.distillation_alpha * total / batch.step_batches

    return term


def mean_logits(
    teachers: Sequence[torch.Tensor], *, temperature: float, problem_type: ProblemType
) -> torch.Tensor:
    """Compute the logits whose probabilities at `temperature` are the mean of the teachers'.

    p = 1/K sum_k softmax(z_k / T), the arithmetic mean of an ensemble (Hinton et al. 2015, section
    1), and z = T log p, but for a constant. Several labels: the same of each label's own
    probability, z = T log(p / (1 - p)). A value: the mean of the values.
    """
    if len(teachers) == 1:
        return teachers[0]
    stacked = torch.stack(list(teachers))
    match problem_type:
        case ProblemType.REGRESSION:
            return stacked.mean(0)
        case ProblemType.MULTI_LABEL:
            yes, no = (functional.logsigmoid(sign * stacked / temperature) for sign in (1, -1))
            return temperature * (yes.logsumexp(0) - no.logsumexp(0))
        case ProblemType.SINGLE_LABEL:
            return temperature * (stacked / temperature).log_softmax(-1).logsumexp(0)


def hidden_states(teacher: Teacher, *, weight: float) -> LossTerm:
    """Return the term that compares the model's hidden states with the teacher's."""

    def term(model: torch.nn.Module, batch: Batch, outputs: Any) -> torch.Tensor:
        wanted = teacher(batch).hidden_states
        mask = batch.inputs["attention_mask"].flatten(0, -2)  # groups of rows are rows in there
        found = hidden_loss(outputs["hidden_states"], wanted, mask, teacher.period)
        return weight * found / batch.step_batches

    return term


def r_drop(labels: LossTerm, objective: Objective, config: FinetuneConfig) -> LossTerm:
    """Return the term of R-Drop (Liang et al. 2021, arXiv:2106.14448, equation 4).

    The model runs the batch a second time, and dropout leaves out other units. The loss of the
    labels becomes the mean of both passes; added to it is `rdrop_alpha` times the distance of
    their predictions, the mean of the Kullback-Leibler divergences in both directions. (Squared
    distance for values, which have no distribution.)
    """

    def term(model: torch.nn.Module, batch: Batch, outputs: Any) -> torch.Tensor:
        again = model(**batch.inputs)
        mask = batch.inputs["attention_mask"]
        passes = [objective.labelled_logits(x, batch.labels, mask) for x in (outputs, again)]
        distance = passes[0][0].new_zeros(())
        for first, second in zip(*passes, strict=True):
            for one, other in ((first, second), (second, first)) if len(first) else ():
                apart = soft_loss(one, other, temperature=1.0, problem_type=config.problem_type)
                distance = distance + apart / 2
        more = labels(model, batch, again) - labels(model, batch, outputs)
        return more / 2 + config.rdrop_alpha * distance / batch.step_batches

    return term


def adversarial(attack: Attack, terms: Sequence[LossTerm]) -> LossTerm:
    """Return the term of the same texts with their word embeddings moved: more of `terms` there."""

    def term(model: torch.nn.Module, batch: Batch, outputs: Any) -> torch.Tensor:
        def loss(found: Any) -> torch.Tensor:
            return torch.stack([each(model, batch, found) for each in terms]).sum()

        mask = batch.inputs["attention_mask"]
        return attack.loss(loss(outputs), lambda: loss(model(**batch.inputs)), mask)

    return term


def soft_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    *,
    temperature: float,
    problem_type: ProblemType,
) -> torch.Tensor:
    """Compute how far logits `(rows, labels)` are from the teacher's, as a mean over rows.

    One label: Kullback-Leibler divergence at `temperature`, times its square, which keeps the
    gradient's size (Hinton et al., 2015). Several: the same of each label's own probability. A
    value: squared difference.
    """
    if problem_type is ProblemType.REGRESSION:
        return functional.mse_loss(student, teacher)
    distance = divergence(student / temperature, teacher / temperature, problem_type)
    return distance * temperature**2


def divergence(
    logits: torch.Tensor, wanted: torch.Tensor, problem_type: ProblemType
) -> torch.Tensor:
    """Compute the Kullback-Leibler divergence KL(wanted || logits) of `(rows, labels)`.

    A mean over rows; where each label is for itself, over rows and labels.
    """
    if problem_type is ProblemType.MULTI_LABEL:
        # A label and its absence are two classes, with the logits z and 0.
        logits = torch.stack((logits, torch.zeros_like(logits)), dim=-1).flatten(0, -2)
        wanted = torch.stack((wanted, torch.zeros_like(wanted)), dim=-1).flatten(0, -2)
    return functional.kl_div(
        logits.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction="batchmean"
    )


def hidden_loss(
    student: Sequence[torch.Tensor],
    teacher: Sequence[torch.Tensor],
    mask: torch.Tensor,
    period: int = 1,
) -> torch.Tensor:
    """Compute the distance of hidden states `(batch, sequence, hidden)` where `mask` is 1.

    The mean squared distance, averaged over layers. Both begin with the embeddings' output; a
    layer of the student is held against the one whose weights it started from (`kept_layers`).
    """
    kept = kept_layers(len(teacher) - 1, len(student) - 1, period)
    pairs = [(0, 0), *((i + 1, layer + 1) for i, layer in enumerate(kept))]
    real = mask.bool()
    losses = [
        functional.mse_loss(student[i][real].float(), teacher[j][real].float()) for i, j in pairs
    ]
    return torch.stack(losses).mean()
