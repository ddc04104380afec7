"""The numbers of a decision, chosen on labelled data: a temperature and a threshold."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.answers import best_threshold
from bertedge.confidence import (
    CalibrationError,
    best_f1_threshold,
    best_scope_threshold,
    calibration_error,
    fit_temperature,
    label_loss,
    multi_label_loss,
)
from bertedge.evaluation import Answers, Asked, judge
from bertedge.runtime.decisions import score
from bertedge.tasks import Decision, ProblemType

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A decision with all its numbers, and what was found on the way."""

    decision: Decision
    calibration: CalibrationError | None


def settle(decision: Decision, answers: Answers, *, calibrate: bool) -> Settled:
    """Choose temperature and threshold on the dev data.

    The temperature is always fitted, so that its use can be told, and taken only if asked for.
    """
    calibration = fit(decision, answers)
    if calibration is not None and calibrate:
        decision = replace(decision, temperature=calibration.temperature)
    return Settled(
        decision=choose_threshold(decision, answers.logits, answers.gold), calibration=calibration
    )


def settle_questions(decision: Decision, asked: Asked) -> Settled:
    """Choose when a question has no answer, where that occurs in the dev data."""
    return Settled(
        decision=replace(decision, threshold=best_threshold(asked.found)), calibration=None
    )


def choose_threshold(decision: Decision, logits: Floats, gold: NDArray[Any]) -> Decision:
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


def fit(decision: Decision, answers: Answers) -> CalibrationError | None:
    """Find the temperature with the least negative log-likelihood; None for values."""
    gold, logits = answers.gold, answers.logits
    match decision.problem_type:
        case ProblemType.SINGLE_LABEL:
            known = gold < logits.shape[1]
            temperature = fit_temperature(label_loss(logits[known], gold[known]))
        case ProblemType.MULTI_LABEL:
            temperature = fit_temperature(multi_label_loss(logits, gold))
        case ProblemType.REGRESSION:
            return None
    bins = judge(answers, replace(decision, temperature=temperature)).bins
    assert bins is not None
    raw, calibrated = (calibration_error(each) for each in bins)
    return CalibrationError(raw=raw, calibrated=calibrated, temperature=temperature)
