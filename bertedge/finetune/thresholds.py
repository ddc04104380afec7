"""The numbers of a decision rule, chosen on labelled data: a temperature and a threshold."""

from dataclasses import dataclass, replace

from bertedge.evaluation import fit_on_half
from bertedge.metrics.calibration import CalibrationError
from bertedge.spec import DecisionRule, LabelKind, Task
from bertedge.tasks import task_module
from bertedge.tasks.contract import Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedRule:
    """A rule with all its numbers, and what was found on the way."""

    rule: DecisionRule
    calibration: CalibrationError | None
    """Of the temperature that was found, kept or not, on the half of the data that did not choose
    it."""


def fit_rule(task: Task, rule: DecisionRule, outputs: Outputs, *, calibrate: bool) -> FittedRule:
    """Choose temperature and threshold on the dev data.

    The temperature of texts' labels is always fitted, so that its use can be told. It is taken if
    it was asked for and makes the calibration error smaller on the half of the data that did not
    choose it.
    """
    fitted = fit_on_half(rule, outputs) if task.labels_are is LabelKind.CLASSES else None
    if fitted is not None and calibrate and fitted.helps:
        rule = replace(rule, temperature=fitted.error.temperature)
    return FittedRule(
        rule=task_module(task).choose_threshold(rule, outputs),
        calibration=fitted.error if fitted else None,
    )
