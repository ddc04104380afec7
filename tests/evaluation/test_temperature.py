"""A temperature is kept only where it helps scores that it was not chosen on."""

import numpy as np
import pytest

from bertedge.evaluation import fit_on_half
from bertedge.finetune.thresholds import FittedRule, fit_rule
from bertedge.spec import DecisionRule, ProblemType, Task
from bertedge.tasks.contract import Outputs

ROWS = 4000


def settle(rule: DecisionRule, outputs: Outputs, *, calibrate: bool) -> FittedRule:
    return fit_rule(Task.TEXT_CLASSIFICATION, rule, outputs, calibrate=calibrate)


def answers_of(logits: np.ndarray, gold: np.ndarray) -> Outputs:
    return Outputs(gold=[gold], answers=[logits.astype(np.float32)], rows=len(gold), truncated=0)


def sure_of_itself(factor: float, labels: int = 3) -> Outputs:
    """Labels drawn by the scores of logits, which are then multiplied by `factor`."""
    random = np.random.default_rng(0)
    logits = random.normal(scale=2, size=(ROWS, labels))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gold = (scores.cumsum(axis=1) < random.random((ROWS, 1))).sum(axis=1)
    return answers_of(logits * factor, gold)


def with_a_few_disasters() -> Outputs:
    """Scores that fit well, but for a few texts of which the model is sure and wrong.

    The likelihood is theirs, so that the temperature makes all others worse.
    """
    random = np.random.default_rng(1)
    right = random.random(ROWS) < 0.95
    margin = np.full(ROWS, np.log(0.95 / 0.05))
    disaster = random.random(ROWS) < 0.01
    right[disaster], margin[disaster] = False, 500.0
    gold = np.where(right, 1, 0)
    return answers_of(np.stack([np.zeros(ROWS), margin], axis=1), gold)


@pytest.mark.parametrize("factor", [0.3, 3.0, 8.0])
def test_scores_that_are_too_sure_or_not_sure_enough_get_their_temperature(factor: float) -> None:
    fitted = fit_on_half(DecisionRule(), sure_of_itself(factor))
    assert fitted is not None and fitted.helps
    assert fitted.error.temperature == pytest.approx(factor, rel=0.1)
    assert fitted.rows == ROWS / 2
    settled = settle(DecisionRule(), sure_of_itself(factor), calibrate=True)
    assert settled.rule.temperature == fitted.error.temperature


def test_a_temperature_that_makes_the_error_larger_is_not_kept() -> None:
    answers = with_a_few_disasters()
    fitted = fit_on_half(DecisionRule(), answers)
    assert fitted is not None and not fitted.helps
    assert fitted.error.calibrated > fitted.error.raw
    settled = settle(DecisionRule(), answers, calibrate=True)
    assert settled.rule == DecisionRule()
    assert settled.calibration == fitted.error  # it is told all the same


def test_what_chooses_does_not_prove() -> None:
    """Rows that are right in one half and wrong in the other: their temperatures contradict."""
    order = np.random.default_rng(0).permutation(ROWS)
    gold = np.zeros(ROWS, np.int64)
    gold[order[ROWS // 2 :]] = 1
    logits = np.tile([2.0, 0.0], (ROWS, 1))
    fitted = fit_on_half(DecisionRule(), answers_of(logits, gold))
    assert fitted is not None
    assert fitted.error.temperature < 0.2  # all that chose were right
    assert not fitted.helps  # all that prove are wrong


def test_several_labels_have_a_temperature_and_values_none() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(scale=2, size=(ROWS, 4))
    gold = random.random(logits.shape) < 1 / (1 + np.exp(-logits))
    several = DecisionRule(problem_type=ProblemType.MULTI_LABEL)
    fitted = fit_on_half(several, answers_of(4 * logits, gold))
    assert fitted is not None and fitted.helps
    assert fitted.error.temperature == pytest.approx(4, rel=0.1)
    values = DecisionRule(problem_type=ProblemType.REGRESSION)
    assert fit_on_half(values, answers_of(logits[:, :1], logits[:, 0])) is None


@pytest.mark.parametrize("rows", [0, 1])
def test_there_is_nothing_to_prove_on_without_two_rows(rows: int) -> None:
    empty = answers_of(np.zeros((rows, 2)), np.zeros(rows, np.int64))
    assert fit_on_half(DecisionRule(), empty) is None
