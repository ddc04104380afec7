"""The temperature of scores, chosen on one half of the labelled data and proven on the other.

A temperature that fits best by its likelihood can still make the calibration error worse.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.metrics.calibration import (
    CalibrationError,
    calibration_error,
    fit_temperature,
    label_loss,
    multi_label_loss,
)
from bertedge.spec import DecisionRule, ProblemType
from bertedge.tasks.contract import Outputs
from bertedge.tasks.text_classification import confidence_bins


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


def fit_on_half(rule: DecisionRule, outputs: Outputs) -> FittedTemperature | None:
    """Choose the temperature with the least negative log-likelihood; None where there is none.

    `outputs` are those of texts with labels. There is none for values, nor where a half has no text
    in scope.
    """
    if rule.problem_type is ProblemType.REGRESSION:
        return None
    gold, logits = np.concatenate(outputs.gold), np.concatenate(outputs.answers)
    order = np.random.default_rng(0).permutation(len(gold))  # files may be sorted
    chosen, held_out = np.array_split(order, 2)
    if not all(_usable(rule, gold[half], logits) for half in (chosen, held_out)):
        return None
    temperature = _fit(rule, gold[chosen], logits[chosen])
    warm = replace(rule, temperature=temperature)
    bins = confidence_bins(gold[held_out], logits[held_out], warm)
    assert bins is not None
    raw, calibrated = (calibration_error(each) for each in bins)
    error = CalibrationError(raw=raw, calibrated=calibrated, temperature=temperature)
    return FittedTemperature(error=error, rows=len(held_out))


def _usable(rule: DecisionRule, gold: NDArray[Any], logits: NDArray[Any]) -> bool:
    if rule.problem_type is ProblemType.SINGLE_LABEL:
        return bool((gold < logits.shape[1]).any())
    return len(gold) > 0


def _fit(rule: DecisionRule, gold: NDArray[Any], logits: NDArray[Any]) -> float:
    if rule.problem_type is ProblemType.MULTI_LABEL:
        return fit_temperature(multi_label_loss(logits, gold))
    known = gold < logits.shape[1]
    return fit_temperature(label_loss(logits[known], gold[known]))
