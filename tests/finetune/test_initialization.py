"""Where a new head starts: what it answers before a step was made."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from bertedge.checkpoint import load_model, open_checkpoint
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.initialization import renew_labels
from bertedge.finetune.run import finetune
from bertedge.finetune.settings.regularization import ClassWeights
from bertedge.progress import Silent
from bertedge.spec import ProblemType, Task

TINY_RATE = 1e-9
"""Leaves the head where it started."""


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def start(base: Path, train: Path, output: Path, **changes: object) -> transformers.PreTrainedModel:
    settings = {"task": Task.TEXT_CLASSIFICATION, "train": train, "model": str(base)}
    settings |= {
        "output": output,
        "epochs": 1,
        "learning_rate": TINY_RATE,
        "pooling": "cls",
        **changes,
    }
    finished = finetune(FinetuneConfig(**settings), Silent())  # type: ignore[arg-type]
    assert finished is not None
    return load_model(open_checkpoint(str(output)))


def bias(model: transformers.PreTrainedModel) -> NDArray[np.float32]:
    head: torch.nn.Linear = model.classifier
    return head.bias.detach().numpy()


def test_classes_start_at_zero_however_rare(base: Path, tmp_path: Path) -> None:
    rows = [{"text": "red", "label": "often"}] * 30 + [{"text": "plum", "label": "seldom"}] * 10
    train = write(tmp_path / "train.jsonl", rows)
    assert np.abs(bias(start(base, train, tmp_path / "run"))).max() < 1e-4


def test_several_labels_start_at_their_odds_and_values_at_their_mean(
    base: Path, tmp_path: Path
) -> None:
    labels = [["a"], ["a", "b"], ["a"], []] * 8
    train = write(tmp_path / "several.jsonl", [{"text": "x", "labels": own} for own in labels])
    found = bias(start(base, train, tmp_path / "1", problem_type=ProblemType.MULTI_LABEL))
    assert found == pytest.approx([np.log(24.5 / 8.5), np.log(8.5 / 24.5)], abs=1e-4)
    values = [{"text": "x", "label": 2010.0}, {"text": "y", "label": 2020.0}] * 4
    train = write(tmp_path / "values.jsonl", values)
    found = bias(start(base, train, tmp_path / "2", problem_type=ProblemType.REGRESSION))
    assert found == pytest.approx([2015.0])


def test_balanced_labels_start_at_zero(base: Path, tmp_path: Path) -> None:
    labels = [["a"], ["a", "b"], ["a"], []] * 8
    train = write(tmp_path / "several.jsonl", [{"text": "x", "labels": own} for own in labels])
    changes = {"class_weights": ClassWeights.BALANCED, "problem_type": ProblemType.MULTI_LABEL}
    assert np.abs(bias(start(base, train, tmp_path / "run", **changes))).max() < 1e-4


def test_a_head_that_was_trained_stays_as_it_is(base: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": "x", "label": 2010.0}, {"text": "y", "label": 2020.0}]
    values = {"problem_type": ProblemType.REGRESSION}
    start(base, write(tmp_path / "one.jsonl", rows), tmp_path / "one", **values)
    other = write(tmp_path / "other.jsonl", [{"text": "x", "label": 1.0}, rows[1]])
    again = start(tmp_path / "one", other, tmp_path / "two", **values)
    assert bias(again) == pytest.approx([2015.0])


@pytest.mark.parametrize("renamed", [False, True])
def test_a_head_of_cls_is_made_anew_where_labels_have_other_names(
    base: Path, tmp_path: Path, *, renamed: bool
) -> None:
    rows: list[dict[str, object]] = [{"text": "red", "label": "a"}, {"text": "plum", "label": "b"}]
    first = start(base, write(tmp_path / "one.jsonl", rows * 8), tmp_path / "one")
    other = [row | {"label": f"{row['label']}2"} for row in rows] if renamed else rows
    again = start(tmp_path / "one", write(tmp_path / "two.jsonl", other * 8), tmp_path / "two")
    was, now = first.state_dict(), again.state_dict()
    changed = {name for name in was if not torch.allclose(was[name], now[name], atol=1e-4)}
    assert changed == ({"classifier.weight"} if renamed else set())


SMALL = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "num_labels": 16}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (transformers.RobertaConfig(num_hidden_layers=1, **SMALL), "classifier.out_proj"),
        (transformers.ElectraConfig(num_hidden_layers=1, **SMALL), "classifier.out_proj"),
        (transformers.AlbertConfig(num_hidden_layers=1, **SMALL), "classifier"),
        (transformers.ModernBertConfig(num_hidden_layers=1, pad_token_id=0, **SMALL), "classifier"),
    ],
    ids=lambda each: getattr(each, "model_type", each),
)
def test_what_a_label_has_of_its_own_is_told_from_layers_as_wide_as_there_are_labels(
    config: transformers.PretrainedConfig, expected: str
) -> None:
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    names = {f"{expected}.weight", f"{expected}.bias"}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
    assert renew_labels(model, set()) == names
    kept = {name for name, each in model.named_parameters() if (each == 0.5).all()}
    assert kept == {name for name, _ in model.named_parameters()} - names
    assert renew_labels(model, names) == set()
