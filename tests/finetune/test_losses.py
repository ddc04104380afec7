"""The loss is a sum of terms, each its share of an optimizer step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import transformers

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.features import IGNORED, Features
from bertedge.finetune.losses import Batch, LossTerm, loss_terms
from bertedge.finetune.objectives import OBJECTIVES, Objective
from bertedge.finetune.trainer import FinetuneTrainer
from bertedge.spec import ProblemType, Task

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
        output_hidden_states=True,
        model=model,
        args=transformers.TrainingArguments(str(at), report_to=[], use_cpu=True),
    )


@KINDS
def test_the_loss_of_labels_is_that_of_transformers(kind: str, tmp_path: Path) -> None:
    model, labels = model_of(kind), torch.tensor(GOLD[kind])
    expected = model(**inputs_of(), labels=labels).loss
    objective = objective_of(kind)
    terms = loss_terms(config_of(kind), objective, None)
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
    terms = loss_terms(config_of(kind), objective, model_of(kind, seed=1) if taught else None)
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
    trainer = trainer_of(model, objective, loss_terms(config, objective, teacher), tmp_path)
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


def test_a_teacher_is_run_once_a_batch_and_learns_nothing(tmp_path: Path) -> None:
    model, teacher, objective = (
        model_of("single"),
        model_of("single", seed=1),
        objective_of("single"),
    )
    calls = []
    teacher.register_forward_hook(lambda *_: calls.append(teacher.training))
    terms = loss_terms(config_of("single"), objective, teacher)
    whole = Batch(
        inputs=inputs_of(), labels=torch.tensor(GOLD["single"]), step_labels=4, step_batches=1
    )
    outputs = model(**inputs_of(), output_hidden_states=True)
    sum(term(model, whole, outputs) for term in terms).backward()  # type: ignore[union-attr]
    assert calls == [False]
    assert all(each.grad is None for each in teacher.parameters())
    assert any(each.grad is not None for each in model.parameters())
