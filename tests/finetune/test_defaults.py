"""The settings that nobody gave."""

import csv
from pathlib import Path

import pytest

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.defaults import (
    EVALUATIONS,
    Facts,
    choose_hyperparameters,
    describe_chosen,
    usual_epochs,
)
from bertedge.finetune.run import finetune
from bertedge.progress import Silent
from bertedge.spec import ProblemType, Task

MINILM = {"hidden_size": 384, "layers": 6}
BERT_BASE = {"hidden_size": 768, "layers": 12}


def config(**changes: object) -> FinetuneConfig:
    plain: dict[str, object] = {
        "task": Task.TEXT_CLASSIFICATION,
        "train": Path("train.csv"),
        "model": "base",
        "output": Path("none"),
    }
    return FinetuneConfig(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [20, 300, 1_000, 10_000, 100_000, 10_000_000])
def test_a_small_file_has_steps_enough_and_a_large_one_has_more(rows: int) -> None:
    chosen = choose_hyperparameters(config(), Facts(rows=rows, **MINILM))
    more = choose_hyperparameters(config(), Facts(rows=2 * rows, **MINILM))
    assert 2 <= more.epochs <= chosen.epochs <= 20
    assert chosen.batch_size <= more.batch_size
    if rows >= 300:
        assert rows * chosen.epochs / chosen.batch_size >= 300
    assert chosen.epochs / chosen.evaluate_every <= EVALUATIONS


def test_a_wider_and_deeper_base_has_a_lower_rate_and_bert_base_the_usual_one() -> None:
    tags = config(task=Task.TOKEN_CLASSIFICATION)
    small = choose_hyperparameters(tags, Facts(rows=1_000, **MINILM))
    large = choose_hyperparameters(tags, Facts(rows=1_000, **BERT_BASE))
    assert large.learning_rate == pytest.approx(5e-5)
    assert small.learning_rate == pytest.approx(2e-4)


@pytest.mark.parametrize(
    ("changes", "rate"),
    [
        ({}, 1e-4),
        ({"task": Task.TOKEN_CLASSIFICATION}, 2e-4),
        ({"problem_type": ProblemType.MULTI_LABEL}, 2e-4),
        ({"problem_type": ProblemType.REGRESSION}, 2e-4),
        ({"model": None, "teacher": ("teacher",)}, 2e-4),
        ({"peft": "lora"}, 2e-3),
    ],
)
def test_one_label_of_a_text_is_learnt_at_half_the_rate(
    changes: dict[str, object], rate: float
) -> None:
    chosen = choose_hyperparameters(config(**changes), Facts(rows=1_000, **MINILM))
    assert chosen.learning_rate == pytest.approx(rate)


@pytest.mark.parametrize("rows", [20, 300, 1_000, 10_000, 100_000])
def test_a_head_that_was_fitted_before_has_fewer_epochs_at_a_lower_rate(rows: int) -> None:
    asked = config(problem_type=ProblemType.MULTI_LABEL)
    new = choose_hyperparameters(asked, Facts(rows=rows, **MINILM))
    fitted = choose_hyperparameters(asked, Facts(rows=rows, fitted=True, **MINILM))
    assert fitted.learning_rate == pytest.approx(new.learning_rate / 2, rel=0.05)
    assert 2 <= fitted.epochs <= max(2, new.epochs / 2)


def test_accumulated_batches_count_as_one_large_batch() -> None:
    facts = Facts(rows=1_000, **MINILM)
    one = choose_hyperparameters(config(batch_size=64), facts)
    several = choose_hyperparameters(config(batch_size=16, gradient_accumulation_steps=4), facts)
    assert one.learning_rate == several.learning_rate


def test_what_is_given_is_taken_and_only_the_rest_is_said() -> None:
    given = {"epochs": 5.0, "batch_size": 7, "learning_rate": 1e-3}
    more = {"warmup_ratio": 0.0, "weight_decay": 0.0, "layer_decay": 0.5}
    asked = config(**given, **more)
    chosen = choose_hyperparameters(asked, Facts(rows=100_000, **MINILM))
    assert {name: getattr(chosen, name) for name in (*given, *more)} == {**given, **more}
    assert chosen.evaluate_every == 1
    assert describe_chosen(asked, chosen) == ""
    part = config(epochs=5)
    told = describe_chosen(part, choose_hyperparameters(part, Facts(rows=1_000, **MINILM)))
    assert told == "batch size 16, learning rate 0.0001"


def test_of_many_epochs_a_few_are_evaluated_the_last_one_too(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    few = tmp_path / "few.csv"
    few.write_text("\n".join(texts["train"].read_text().splitlines()[:41]) + "\n")
    said: list[str] = []

    class Said(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    asked = config(
        train=few,
        dev=texts["dev"],
        model=str(base),
        output=tmp_path / "run",
        learning_rate=1e-4,
        pooling="cls",
    )
    finished = finetune(asked, Said())
    assert finished is not None
    epochs = usual_epochs(40)
    assert finished.training.settings["epochs"] == finished.training.epochs == epochs
    assert f"by the data and the base: epochs {epochs}, batch size 8" in said
    with (tmp_path / "run" / "training.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["dev_accuracy"]]
    assert 2 <= len(rows) <= EVALUATIONS
    assert float(rows[-1]["epoch"]) == epochs


def test_of_epochs_that_score_the_same_the_last_is_kept(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    asked = config(
        train=texts["train"],
        dev=texts["dev"],
        model=str(base),
        output=tmp_path / "run",
        pooling="mean",  # starts at a fitted head, so that a rate of almost nothing changes nothing
        learning_rate=1e-9,
        epochs=3,
    )
    finished = finetune(asked)
    assert finished is not None
    assert finished.training.best_epoch == 3


@pytest.mark.parametrize(
    ("given", "patience"),
    [({}, 0), ({"epochs": 5}, 3), ({"early_stopping_patience": 2}, 2)],
)
def test_epochs_that_are_chosen_here_are_run_to_their_end(
    given: dict[str, float], patience: int
) -> None:
    chosen = choose_hyperparameters(config(**given), Facts(rows=1_000, **MINILM))
    assert chosen.early_stopping_patience == patience
    assert chosen.prefer_later == ("epochs" not in given)
