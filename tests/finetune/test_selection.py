"""Which evaluation is kept: an earlier one only where it is clearly better than what came later."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import transformers

from bertedge.finetune.objectives import choice_loss
from bertedge.finetune.selection import least_equal, standard_error
from bertedge.finetune.trainer import FinetuneTrainer


@pytest.mark.parametrize(
    ("score", "rows", "right", "counted"),
    [(0.87, 100, 89, 104), (1.0, 30, 32, 34), (0.0, 30, 2, 34), (-0.1, 30, 2, 34)],
)
def test_a_share_has_the_error_of_two_rows_more_of_either_kind(
    score: float, rows: int, right: int, counted: int
) -> None:
    variance = right * (counted - right) / counted**3
    assert standard_error(score, rows) == pytest.approx(variance**0.5)


def test_few_dev_rows_do_not_choose_by_luck() -> None:
    assert least_equal([0.87, 0.83], 100) == pytest.approx(0.87 - 0.0344, abs=1e-4)
    assert least_equal([0.83, 0.87], 100, 2) == pytest.approx(0.87 - 0.0689, abs=1e-4)
    assert least_equal([0.87, 0.83], 10_000) > 0.86
    assert least_equal([0.87, 0.83], None) == 0.87


@pytest.mark.parametrize(
    ("scores", "rows", "kept"),
    [
        ((0.81, 0.90, 0.85, 0.84, 0.84), 100, 5),
        ((0.81, 0.90, 0.85, 0.83, 0.84), 100, 5),
        ((0.81, 0.90, 0.85, 0.83, 0.82), 100, 3),
        ((0.81, 0.90, 0.85, 0.84, 0.84), 1000, 2),
        ((0.97, 1.0, 0.93, 0.96), 30, 4),
        ((0.81, 0.90, 0.53, 0.53, 0.53), 100, 2),
        ((0.81, 0.90, 0.84, 0.90, 0.84), None, 4),
    ],
)
def test_the_last_evaluation_within_two_standard_errors_of_the_best_is_kept(
    scores: Sequence[float], rows: int | None, kept: int, tmp_path: Path
) -> None:
    model = transformers.BertForMultipleChoice(
        transformers.BertConfig(vocab_size=8, hidden_size=4, num_hidden_layers=1,
                                num_attention_heads=1, intermediate_size=4)
    )  # fmt: skip
    trainer = FinetuneTrainer(
        label_loss=choice_loss,
        terms=[],
        layer_decay=1.0,
        output_hidden_states=False,
        model=model,
        args=transformers.TrainingArguments(
            str(tmp_path), report_to=[], use_cpu=True, metric_for_best_model="accuracy",
            greater_is_better=True,
        ),
    )  # fmt: skip
    trainer.scored_rows = rows
    best = 0
    for number, score in enumerate(scores, 1):
        found = {"eval_accuracy": score}
        trainer.state.log_history.append(found)
        if trainer._determine_best_metric(found, None):
            best = number
    assert best == kept
