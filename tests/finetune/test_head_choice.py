"""Which hidden states a classifier reads, where nobody says so."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.head_choice import (
    cross_validate,
    is_better,
    losses_of,
    losses_of_one_answer,
    prefer_mean,
)
from bertedge.finetune.linear_probe import Linear, can_split
from bertedge.finetune.run import finetune
from bertedge.progress import Silent
from bertedge.spec import PoolingMode, ProblemType, Task


def config(**changes: Any) -> FinetuneConfig:
    plain = {
        "task": Task.TEXT_CLASSIFICATION,
        "train": Path("train.csv"),
        "model": "base",
        "output": Path("none"),
        "epochs": 1,
        "batch_size": 16,
    }
    return FinetuneConfig(**plain | changes)


class Said(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM", "BertForTokenClassification"])
def test_the_mean_is_read_where_it_tells_the_labels_apart_and_cls_does_not(
    head: str, base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    # [CLS] of random weights hardly says which words follow it; their mean does.
    said = Said()
    model = shutil.copytree(base, tmp_path / "base")
    described = json.loads((base / "config.json").read_text()) | {"architectures": [head]}
    (model / "config.json").write_text(json.dumps(described))
    asked = config(train=texts["train"], model=str(model), output=tmp_path / "run", dev_share=0)
    finished = finetune(asked, said)
    assert finished is not None
    assert finished.training.model.classifier_pooling is PoolingMode.MEAN
    (line,) = [line for line in said.lines if line.startswith("linear models")]
    assert "the classifier reads the mean (--pooling)" in line


@pytest.mark.parametrize(
    ("problem", "pooling"),
    [("single_label_classification", PoolingMode.MEAN), ("multi_label_classification", None)],
)
def test_where_neither_tells_the_labels_one_label_is_read_from_the_mean_and_several_from_cls(
    problem: str, pooling: PoolingMode | None, base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    lines = [line.split(",")[0] for line in texts["train"].read_text().splitlines()[1:61]]
    labels = rng.permutation(["a", "b"] * 30)
    rows = [f"{line},{label}" for line, label in zip(lines, labels, strict=True)]
    noise = tmp_path / "noise.csv"
    noise.write_text("\n".join(["text,label", *rows, ""]))
    asked = config(
        train=noise,
        model=str(base),
        output=tmp_path / "run",
        dev_share=0,
        few_shot="none",
        problem_type=ProblemType(problem),
    )
    finished = finetune(asked, Silent())
    assert finished is not None
    assert finished.training.model.classifier_pooling is pooling
    if pooling is None:
        model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "run")
        assert model.config.num_labels == 2


@pytest.mark.parametrize(
    ("one", "other", "better"), [(20, 40, True), (20, 22, False), (20, 20, False), (40, 20, False)]
)
def test_better_is_by_over_one_standard_error_of_the_difference(
    one: int, other: int, better: bool
) -> None:
    # Half of what is wrong is the same texts.
    assert is_better(wrong(0, one), wrong(min(one, other) // 2, other)) is better


def test_a_base_that_was_a_classifier_keeps_its_head(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    first = config(
        train=texts["train"], model=str(base), output=tmp_path / "a", dev_share=0, pooling="cls"
    )
    finetune(first, Silent())
    again = replace(first, model=str(tmp_path / "a"), output=tmp_path / "b", pooling=None)
    said = Said()
    finished = finetune(again, said)
    assert finished is not None and finished.training.model.classifier_pooling is None
    assert not any(line.startswith("linear models") for line in said.lines)


def test_losses_are_of_rows_that_the_model_was_not_fitted_to() -> None:
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(60, 200)), np.arange(60) % 2
    # 200 dimensions fit any labels of 60 rows; on other rows chance is right half of the time.
    wrong = cross_validate(vectors, labels, 2, config())
    assert 0.25 < wrong.mean() < 0.75 and set(np.unique(wrong)) <= {0.0, 1.0}
    vectors[:, 0] = labels * 100
    assert cross_validate(vectors, labels, 2, config()).mean() == 0


@pytest.mark.parametrize(
    ("problem", "labels", "expected"),
    [
        ("single_label_classification", [1, 1], [0.0, 1.0]),
        ("multi_label_classification", [[0, 1], [1, 1]], [0.0, 0.5]),
        ("regression", [1.0, -0.5], [4.0, 0.25]),
    ],
)
def test_a_row_is_as_wrong_as_its_answer(problem: str, labels: Any, expected: list[float]) -> None:
    value = problem == "regression"
    weight = np.array([[1.0]] if value else [[-1.0], [1.0]])
    model, vectors = Linear(weight=weight, bias=np.zeros(len(weight))), np.array([[3.0], [-1.0]])
    found = losses_of(model, vectors, np.array(labels), config(problem_type=ProblemType(problem)))
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("problem", "labels", "expected"),
    [
        ("single_label_classification", [1, 1, 0], [0.0, 0.0, 1.0]),
        ("multi_label_classification", [[0, 1], [1, 1], [0, 1]], [0.0, 0.5, 0.0]),
        ("regression", [1.0, 2.0, 3.0], [1.0, 0.0, 1.0]),
    ],
)
def test_one_answer_for_all_is_the_commonest_or_the_mean(
    problem: str, labels: Any, expected: list[float]
) -> None:
    asked = config(problem_type=ProblemType(problem))
    assert losses_of_one_answer(np.array(labels), 2, asked).tolist() == expected


@pytest.mark.parametrize(
    ("mean", "cls", "one_answer", "preferred"),
    [(20, 40, 50, True), (30, 50, 50, False), (20, 22, 50, False), (20, 40, 30, False)],
)
def test_the_mean_must_be_clearly_better_and_say_most_of_the_labels(
    mean: int, cls: int, one_answer: int, preferred: bool
) -> None:
    # Half of what is wrong is the same texts.
    losses = {PoolingMode.MEAN: wrong(0, mean), PoolingMode.CLS: wrong(mean // 2, cls)}
    assert prefer_mean(losses, wrong(0, one_answer)) is preferred


def wrong(first: int, count: int) -> np.ndarray:
    """Return losses of 100 texts, of which `count` are wrong."""
    losses = np.zeros(100)
    losses[first : first + count] = 1.0
    return losses


def test_folds_need_a_label_with_as_many_rows() -> None:
    assert not can_split(np.array([0, 0, 1, 1]), config())
    assert can_split(np.array([0, 0, 0, 1]), config())
