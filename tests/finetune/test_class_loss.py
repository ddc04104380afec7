"""Cross entropy with smoothed labels and focal factors, against its formulas."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from torch.nn import functional

from bertedge.errors import SettingError
from bertedge.finetune.class_loss import ClassLoss
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.features import Features
from bertedge.finetune.objectives import OBJECTIVES, Objective
from bertedge.finetune.run import finetune
from bertedge.spec import ProblemType, Task

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [1.0, 1.0, 1.0]])
GOLD = torch.tensor([0, 2, 1])
WEIGHT = torch.tensor([1.0, 3.0, 0.5])


def objective_of(
    task: Task, gold: Sequence[Any], labels: Sequence[str], **settings: Any
) -> Objective:
    config = FinetuneConfig(task=task, train=Path("t"), output=Path("o"), model="m", **settings)
    data = datasets.Dataset.from_dict({"labels": gold})
    features = Features(data=data, rows=len(gold), truncated=0, windowed=0)
    return OBJECTIVES[task].make(config, features, tuple(labels))


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_smoothed_labels_are_pytorchs(weight: torch.Tensor | None) -> None:
    found = ClassLoss(smoothing=0.3).cross_entropy(LOGITS, GOLD, weight=weight)
    expected = functional.cross_entropy(
        LOGITS, GOLD, weight=weight, label_smoothing=0.3, reduction="sum"
    )
    assert torch.isclose(found, expected)
    plain = functional.cross_entropy(LOGITS, GOLD, weight=weight, reduction="sum")
    assert torch.isclose(ClassLoss().cross_entropy(LOGITS, GOLD, weight=weight), plain)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_the_focal_loss_is_that_of_the_paper(weight: torch.Tensor | None) -> None:
    p = LOGITS.softmax(-1)[torch.arange(3), GOLD]
    each = -((1 - p) ** 2) * p.log() * (1 if weight is None else weight[GOLD])
    found = ClassLoss(gamma=2.0).cross_entropy(LOGITS, GOLD, weight=weight)
    assert torch.isclose(found, each.sum())


def test_focal_factors_and_smoothed_labels_go_together() -> None:
    p = LOGITS.softmax(-1)
    wanted = 0.7 * functional.one_hot(GOLD, 3) + 0.1
    expected = -(WEIGHT * wanted * (1 - p) ** 2 * p.log()).sum()
    both = ClassLoss(gamma=2.0, smoothing=0.3)
    assert torch.isclose(both.cross_entropy(LOGITS, GOLD, weight=WEIGHT), expected)


def test_labels_each_for_itself_are_smoothed_towards_a_half_and_focal_on_both_sides() -> None:
    gold = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    p = LOGITS.sigmoid()
    smooth = 0.8 * gold + 0.1
    expected = functional.binary_cross_entropy(p, smooth, reduction="sum")
    assert torch.isclose(ClassLoss(smoothing=0.2).binary(LOGITS, gold), expected)
    right = torch.where(gold > 0, p, 1 - p)
    factor = torch.where(gold > 0, WEIGHT, 1.0)
    focal = -(factor * (1 - right) ** 2 * right.log()).sum()
    assert torch.isclose(ClassLoss(gamma=2.0).binary(LOGITS, gold, weight=WEIGHT), focal)
    both = -(WEIGHT * smooth * (1 - p) ** 2 * p.log() + (1 - smooth) * p**2 * (1 - p).log()).sum()
    found = ClassLoss(gamma=2.0, smoothing=0.2).binary(LOGITS, gold, weight=WEIGHT)
    assert torch.isclose(found, both)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 2.0])
def test_an_item_that_is_surely_right_has_no_gradient_and_no_nan(gamma: float) -> None:
    for sure in (60.0, 1e5):
        logits = torch.tensor([[sure, 0.0]], requires_grad=True)
        loss = ClassLoss(gamma=gamma, smoothing=0.0)
        total = loss.cross_entropy(logits, torch.tensor([0])) + loss.binary(
            logits, torch.tensor([[1.0, 1.0]])
        )
        total.backward()
        assert logits.grad is not None and logits.grad.isfinite().all()
        assert logits.grad[0, 0].abs() < 1e-6


def test_classes_of_words_and_of_intents_are_smoothed_among_their_own_kind() -> None:
    labels = ["intent:a", "intent:b", "O", "B-x", "I-x"]
    gold = [[0, 2, 3, -100]]
    smoothing = {"label_smoothing": 0.2}
    objective = objective_of(Task.INTENT_SLOTS, gold, labels, **smoothing)
    torch.manual_seed(0)
    logits = torch.randn(1, 4, 5)
    found = objective.label_loss({"logits": logits}, torch.tensor(gold), 3)
    intent = functional.cross_entropy(logits[0, :1, :2], torch.tensor([0]), label_smoothing=0.2)
    tags = functional.cross_entropy(logits[0, 1:3, 2:], torch.tensor([0, 1]), label_smoothing=0.2)
    assert torch.isclose(found, intent + tags)


def test_padding_has_no_share_in_the_smoothed_ends_of_answers() -> None:
    gold = [[1, 2, 0, 0]]
    objective = objective_of(Task.QUESTION_ANSWERING, gold, ["a"], label_smoothing=0.3)
    torch.manual_seed(0)
    start, end = torch.randn(2, 1, 4)
    mask = torch.tensor([[1, 1, 1, 0]])
    wanted = torch.tensor([0.1, 0.1, 0.1, 0.0])
    outputs = {"start_logits": start, "end_logits": end}
    found = objective.label_loss(outputs, torch.tensor(gold), 4, mask)
    one = -(wanted + torch.tensor([0, 0.7, 0, 0])) @ start[0].log_softmax(-1)
    other = -(wanted + torch.tensor([0, 0, 0.7, 0])) @ end[0].log_softmax(-1)
    assert torch.isclose(found, (one + other) / 2)


def test_what_fills_up_a_batch_of_choices_has_no_share() -> None:
    gold = [[1, 2]]
    objective = objective_of(Task.MULTIPLE_CHOICE, gold, ["a"], label_smoothing=0.2)
    logits = torch.tensor([[0.5, 1.5, 9.0]])
    found = objective.label_loss({"logits": logits}, torch.tensor(gold), 2)
    expected = functional.cross_entropy(logits[:, :2], torch.tensor([1]), label_smoothing=0.2)
    assert torch.isclose(found, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0; it must be at least 0 and at most"),
        ({"focal_gamma": -1.0}, "focal_gamma is -1.0; it must be at least 0 and at most 20"),
        ({"dropout": 1.0}, "dropout is 1.0; it must be at least 0 and at most 0.95"),
        (
            {"label_smoothing": 0.1, "problem_type": ProblemType.REGRESSION},
            "label_smoothing is 0.1, but regression has no classes",
        ),
        (
            {"focal_gamma": 2.0, "problem_type": ProblemType.REGRESSION},
            "focal_gamma is 2.0, but regression has no classes",
        ),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        objective_of(Task.TEXT_CLASSIFICATION, [0], ["a"], **settings)


def test_a_whole_run_takes_them_and_its_dropout(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    settings = {"label_smoothing": 0.1, "focal_gamma": 2.0, "dropout": 0.0}
    finished = finetune(
        FinetuneConfig(
            task=Task.TEXT_CLASSIFICATION,
            model=str(base),
            train=texts["train"],
            dev=texts["dev"],
            output=tmp_path / "run",
            epochs=3,
            batch_size=16,
            learning_rate=3e-3,
            **settings,  # type: ignore[arg-type]
        )
    )
    assert finished is not None and finished.dev is not None and finished.dev.scores is not None
    assert finished.dev.scores.value > 0.9
    assert {name: finished.training.settings[name] for name in settings} == settings
