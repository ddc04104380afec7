"""The loss is a sum of terms, each its share of an optimizer step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import transformers

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.features import Features
from bertedge.finetune.losses import Batch, LossTerm, loss_terms
from bertedge.finetune.objectives import OBJECTIVES, Objective
from bertedge.finetune.trainer import FinetuneTrainer
from bertedge.spec import ProblemType, Task
from bertedge.tasks.token_classification import IGNORED

CLASSES = {
    "text-classification": transformers.BertForSequenceClassification,
    "token-classification": transformers.BertForTokenClassification,
}
GOLD: dict[str, list[Any]] = {
    "single": [0, 2, 1, 2],
    "several": [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]],
    "value": [0.5, -1.0, 2.0, 0.0],
    "tags": [
        [IGNORED, 0, 1, IGNORED],
        [IGNORED, 2, 2, 0],
        [IGNORED, 1, IGNORED, IGNORED],
        [0, 1, 2, 1],
    ],
}
SETTINGS: dict[str, dict[str, Any]] = {
    "single": {},
    "several": {"problem_type": ProblemType.MULTI_LABEL},
    "value": {"problem_type": ProblemType.REGRESSION},
    "tags": {"task": Task.TOKEN_CLASSIFICATION},
}
KINDS = pytest.mark.parametrize("kind", GOLD)


def config_of(kind: str, **changes: object) -> FinetuneConfig:
    plain = {"task": Task.TEXT_CLASSIFICATION, "train": "t", "output": "o", "model": "m"}
    return FinetuneConfig(**{**plain, **SETTINGS[kind], **changes})  # type: ignore[arg-type]


def classes(kind: str) -> int:
    return 1 if kind == "value" else 3


def objective_of(kind: str, **changes: object) -> Objective:
    config = config_of(kind, **changes)
    data = datasets.Dataset.from_dict({"labels": GOLD[kind]})
    features = Features(data=data, rows=4, truncated=0, windowed=0)
    labels = tuple("abc"[: classes(kind)])
    return OBJECTIVES[config.task].make(config, features, labels)


def model_of(kind: str, seed: int = 0, dropout: float = 0.0) -> transformers.PreTrainedModel:
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=classes(kind),
        initializer_range=0.5,  # so that logits differ
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        problem_type=None if kind == "tags" else config_of(kind).problem_type.value,
    )
    return CLASSES[config_of(kind).task](config).train()


def inputs_of(rows: slice = slice(0, 4)) -> dict[str, torch.Tensor]:
    ids = torch.tensor([[2, 9, 10, 3], [2, 11, 12, 3], [2, 13, 14, 3], [2, 15, 9, 3]])[rows]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def trainer_of(
    model: transformers.PreTrainedModel, objective: Objective, terms: Sequence[LossTerm], at: Path
) -> FinetuneTrainer:
    return FinetuneTrainer(
        label_loss=objective.label_loss,
        terms=terms,
        layer_decay=1.0,
        output_hidden_states=True,
        model=model,
        args=transformers.TrainingArguments(str(at), report_to=[], use_cpu=True),
    )


@KINDS
def test_the_loss_of_labels_is_that_of_transformers(kind: str, tmp_path: Path) -> None:
    model, labels = model_of(kind), torch.tensor(GOLD[kind])
    expected = model(**inputs_of(), labels=labels).loss
    objective = objective_of(kind)
    terms = loss_terms(config_of(kind), objective, [])
    trainer = trainer_of(model, objective, terms, tmp_path)
    trainer.current_gradient_accumulation_steps = 1
    for module in (model.train(), model.eval()):
        found = trainer.compute_loss(module, {**inputs_of(), "labels": labels})
        assert torch.isclose(found, expected)


@pytest.mark.parametrize(
    ("kind", "taught"), [*((kind, False) for kind in GOLD), ("single", True), ("several", True)]
)
def test_accumulated_batches_have_the_loss_of_one_large_batch(
    kind: str, taught: bool, tmp_path: Path
) -> None:
    """Those of tags too, though the two batches have not as many labelled words each."""
    model, labels, objective = model_of(kind), torch.tensor(GOLD[kind]), objective_of(kind)
    terms = loss_terms(config_of(kind), objective, [model_of(kind, seed=1)] * taught)
    trainer = trainer_of(model, objective, terms, tmp_path)
    counted = (labels != IGNORED).sum()

    def loss(rows: slice, batches: int) -> float:
        trainer.current_gradient_accumulation_steps = batches
        given = {**inputs_of(rows), "labels": labels[rows]}
        return float(trainer.compute_loss(model, given, num_items_in_batch=counted).detach())

    parts = loss(slice(0, 2), 2) + loss(slice(2, 4), 2)
    assert parts == pytest.approx(loss(slice(0, 4), 1), rel=1e-6)


def test_the_terms_of_a_student_are_weighted_and_summed(tmp_path: Path) -> None:
    model, teacher, objective = (
        model_of("single"),
        model_of("single", seed=1),
        objective_of("single"),
    )
    weights = {"distillation_alpha": 0.3, "distillation_hidden_weight": 2.0}
    config = config_of("single", **weights, distillation_temperature=4.0)
    labels = torch.tensor(GOLD["single"])
    trainer = trainer_of(model, objective, loss_terms(config, objective, [teacher]), tmp_path)
    trainer.current_gradient_accumulation_steps = 1
    found = trainer.compute_loss(model, {**inputs_of(), "labels": labels})
    own = model(**inputs_of(), output_hidden_states=True)
    with torch.no_grad():
        wanted = teacher.eval()(**inputs_of(), output_hidden_states=True)
    p, q = (wanted.logits / 4).softmax(-1), (own.logits / 4).softmax(-1)
    soft = 16 * (p * (p / q).log()).sum(-1).mean()
    pairs = zip(own.hidden_states, wanted.hidden_states, strict=True)
    hidden = torch.stack([((one - other) ** 2).mean() for one, other in pairs]).mean()
    hard = torch.nn.functional.cross_entropy(own.logits, labels)
    assert torch.isclose(found, 0.7 * hard + 0.3 * soft + 2.0 * hidden)


def test_each_of_several_teachers_has_its_share_and_the_first_alone_its_hidden_states(
    tmp_path: Path,
) -> None:
    model, objective = model_of("single"), objective_of("single")
    teachers = [model_of("single", seed=seed) for seed in (1, 2, 3)]
    weights = {"distillation_alpha": 1.0, "distillation_hidden_weight": 2.0}
    config = config_of("single", **weights, distillation_temperature=4.0)
    trainer = trainer_of(model, objective, loss_terms(config, objective, teachers), tmp_path)
    trainer.current_gradient_accumulation_steps = 1
    labels = torch.tensor(GOLD["single"])
    found = trainer.compute_loss(model, {**inputs_of(), "labels": labels})
    own = model(**inputs_of(), output_hidden_states=True)
    with torch.no_grad():
        wanted = [each.eval()(**inputs_of(), output_hidden_states=True) for each in teachers]
    p = torch.stack([(each.logits / 4).softmax(-1) for each in wanted]).mean(0)
    soft = 16 * (p * (p / (own.logits / 4).softmax(-1)).log()).sum(-1).mean()
    pairs = zip(own.hidden_states, wanted[0].hidden_states, strict=True)
    hidden = torch.stack([((one - other) ** 2).mean() for one, other in pairs]).mean()
    assert torch.isclose(found, soft + 2.0 * hidden)
    alone = loss_terms(config, objective, teachers, hidden=False)
    trainer = trainer_of(model, objective, alone, tmp_path)
    trainer.current_gradient_accumulation_steps = 1
    assert torch.isclose(trainer.compute_loss(model, {**inputs_of(), "labels": labels}), soft)


def test_a_teacher_is_run_once_a_batch_and_learns_nothing(tmp_path: Path) -> None:
    model, teacher, objective = (
        model_of("single"),
        model_of("single", seed=1),
        objective_of("single"),
    )
    calls = []
    teacher.register_forward_hook(lambda *_: calls.append(teacher.training))
    terms = loss_terms(config_of("single"), objective, [teacher])
    whole = Batch(
        inputs=inputs_of(), labels=torch.tensor(GOLD["single"]), step_labels=4, step_batches=1
    )
    outputs = model(**inputs_of(), output_hidden_states=True)
    sum(term(model, whole, outputs) for term in terms).backward()  # type: ignore[union-attr]
    assert calls == [False]
    assert all(each.grad is None for each in teacher.parameters())
    assert any(each.grad is not None for each in model.parameters())


def by_hand(kind: str, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The distance of two passes' logits, written out."""
    if kind == "value":
        return ((first - second) ** 2).mean()
    if kind == "several":
        p, q = first.sigmoid(), second.sigmoid()
        both = (p - q) * ((p / q).log() - ((1 - p) / (1 - q)).log())
        return both.mean() / 2
    if kind == "tags":
        labelled = torch.tensor(GOLD[kind]) != IGNORED
        first, second = first[labelled], second[labelled]
    p, q = first.softmax(-1), second.softmax(-1)
    return ((p * (p / q).log()).sum(-1) + (q * (q / p).log()).sum(-1)).mean() / 2


@KINDS
def test_r_drop_adds_the_distance_of_two_passes_to_the_mean_of_their_losses(
    kind: str, tmp_path: Path
) -> None:
    model, labels, objective = (
        model_of(kind, dropout=0.3),
        torch.tensor(GOLD[kind]),
        objective_of(kind),
    )
    terms = loss_terms(config_of(kind, rdrop_alpha=0.7), objective, [])
    trainer = trainer_of(model, objective, terms, tmp_path)
    trainer.current_gradient_accumulation_steps = 1
    torch.manual_seed(5)
    found = trainer.compute_loss(model, {**inputs_of(), "labels": labels})
    torch.manual_seed(5)
    passes = [model(**inputs_of(), labels=labels) for _ in range(2)]
    distance = by_hand(kind, *(each.logits for each in passes))
    assert distance > 0.01
    assert torch.isclose(found, (passes[0].loss + passes[1].loss) / 2 + 0.7 * distance)


def test_r_drop_changes_the_gradient_and_without_dropout_it_is_nothing(tmp_path: Path) -> None:
    objective, labels = objective_of("single"), torch.tensor(GOLD["single"])

    def gradient(dropout: float, alpha: float) -> torch.Tensor:
        model = model_of("single", dropout=dropout)
        terms = loss_terms(config_of("single", rdrop_alpha=alpha), objective, [])
        trainer = trainer_of(model, objective, terms, tmp_path)
        trainer.current_gradient_accumulation_steps = 1
        torch.manual_seed(5)
        trainer.compute_loss(model, {**inputs_of(), "labels": labels}).backward()
        return model.classifier.weight.grad

    assert torch.allclose(gradient(0.0, 0.0), gradient(0.0, 4.0), atol=1e-6)
    assert (gradient(0.3, 4.0) - gradient(0.3, 0.5)).abs().max() > 0.01


def test_r_drop_goes_with_a_teacher(tmp_path: Path) -> None:
    model, teacher = model_of("single", dropout=0.3), model_of("single", seed=1)
    objective, labels = objective_of("single"), torch.tensor(GOLD["single"])

    def loss(alpha: float) -> float:
        config = config_of("single", rdrop_alpha=alpha)
        trainer = trainer_of(model, objective, loss_terms(config, objective, [teacher]), tmp_path)
        trainer.current_gradient_accumulation_steps = 1
        torch.manual_seed(5)
        given = {**inputs_of(), "labels": labels}
        return float(trainer.compute_loss(model, given).detach())

    torch.manual_seed(5)
    passes = [model(**inputs_of(), labels=labels) for _ in range(2)]
    distance = by_hand("single", *(each.logits for each in passes))
    halfway = float((passes[1].loss - passes[0].loss).detach()) / 2
    # The labels have half of the loss beside a teacher (distillation_alpha).
    assert loss(2.0) == pytest.approx(
        loss(0.0) + halfway / 2 + 2.0 * float(distance.detach()), abs=1e-5
    )
