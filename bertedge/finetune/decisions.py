"""The numbers of a decision, chosen on labelled data: a temperature and a threshold."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.evaluation import Answers, Asked, fit_on_half
from bertedge.metrics.calibration import (
    CalibrationError,
    best_f1_threshold,
    best_scope_threshold,
)
from bertedge.metrics.squad import best_threshold
from bertedge.runtime.decisions import score
from bertedge.spec import DecisionRule, ProblemType

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A decision with all its numbers, and what was found on the way."""

    decision: DecisionRule
    calibration: CalibrationError | None
    """Of the temperature that was found, kept or not, on the half of the data that did not choose
    it."""


def settle(decision: DecisionRule, answers: Answers, *, calibrate: bool) -> Settled:
    """Choose temperature and threshold on the dev data.

    The temperature is always fitted, so that its use can be told. It is taken if it was asked for
    and makes the calibration error smaller on the half of the data that did not choose it.
    """
    fitted = fit_on_half(decision, answers)
    if fitted is not None and calibrate and fitted.helps:
        decision = replace(decision, temperature=fitted.error.temperature)
    return Settled(
        decision=choose_threshold(decision, answers.logits, answers.gold),
        calibration=fitted.error if fitted else None,
    )


def settle_questions(decision: DecisionRule, asked: Asked) -> Settled:
    """Choose when a question has no answer, where that occurs in the dev data."""
    return Settled(
        decision=replace(decision, threshold=best_threshold(asked.found)), calibration=None
    )


def choose_threshold(decision: DecisionRule, logits: Floats, gold: NDArray[Any]) -> DecisionRule:
    """Choose the threshold, where the decision takes one."""
    scores = score(logits, decision)
    if decision.problem_type is ProblemType.MULTI_LABEL:
        return replace(decision, threshold=best_f1_threshold(scores, gold))
    if decision.out_of_scope is not None:
        right = logits.argmax(axis=1) == gold
        in_scope = gold < logits.shape[1]
        return replace(
            decision, threshold=best_scope_threshold(scores.max(axis=1), right, in_scope)
        )
    return decision
