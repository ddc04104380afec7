"""The temperature of scores, chosen on one half of the labelled data and proven on the other.

A temperature that fits best by its likelihood can still make the calibration error worse.
"""

from dataclasses import dataclass, replace

import numpy as np

from bertedge.evaluation.texts import Answers, judge
from bertedge.metrics.calibration import (
    CalibrationError,
    calibration_error,
    fit_temperature,
    label_loss,
    multi_label_loss,
)
from bertedge.spec import DecisionRule, ProblemType


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedTemperature:
    """A temperature, and what it does to scores that it was not chosen on."""

    error: CalibrationError
    """On the half of the data that did not choose."""
    rows: int
    """Of that half."""

    @property
    def helps(self) -> bool:
        """Whether the calibration error is smaller with it than without."""
        return self.error.calibrated < self.error.raw


def fit_on_half(decision: DecisionRule, answers: Answers) -> FittedTemperature | None:
    """Choose the temperature with the least negative log-likelihood; None where there is none.

    There is none for values, nor where a half has no text in scope.
    """
    if decision.problem_type is ProblemType.REGRESSION:
        return None
    order = np.random.default_rng(0).permutation(len(answers.gold))  # files may be sorted
    chosen, held_out = (_take(answers, rows) for rows in np.array_split(order, 2))
    if not _usable(decision, chosen) or not _usable(decision, held_out):
        return None
    temperature = _fit(decision, chosen)
    bins = judge(held_out, replace(decision, temperature=temperature)).bins
    assert bins is not None
    raw, calibrated = (calibration_error(each) for each in bins)
    error = CalibrationError(raw=raw, calibrated=calibrated, temperature=temperature)
    return FittedTemperature(error=error, rows=len(held_out.gold))


def _take(answers: Answers, rows: np.ndarray) -> Answers:
    return Answers(gold=answers.gold[rows], logits=answers.logits[rows], truncated=0)


def _usable(decision: DecisionRule, answers: Answers) -> bool:
    if decision.problem_type is ProblemType.SINGLE_LABEL:
        return bool((answers.gold < answers.logits.shape[1]).any())
    return len(answers.gold) > 0


def _fit(decision: DecisionRule, answers: Answers) -> float:
    gold, logits = answers.gold, answers.logits
    if decision.problem_type is ProblemType.MULTI_LABEL:
        return fit_temperature(multi_label_loss(logits, gold))
    known = gold < logits.shape[1]
    return fit_temperature(label_loss(logits[known], gold[known]))
