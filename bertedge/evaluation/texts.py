"""Texts with one label, several, or a value: what is right, what is answered, what is decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.data import Example, TextExample
from bertedge.evaluation.labeller import Labeller, Part, unknown_label
from bertedge.metrics import (
    AnyScores,
    classification_scores,
    multi_label_scores,
    value_scores,
)
from bertedge.metrics.calibration import bin_scores
from bertedge.runtime.decisions import decide, label_names
from bertedge.runtime.decisions import score as score_labels
from bertedge.spec import DecisionRule, ProblemType


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The logits of texts beside what is right, before anything is decided."""

    gold: NDArray[Any]
    """As `runtime.decisions.decide` gives it."""
    logits: NDArray[np.float32]
    """`(texts, labels)`"""
    truncated: int
    """Texts of which the end was not seen."""


def answer(labeller: Labeller, examples: Sequence[Example], path: Path) -> Answers:
    """Run the engine over labelled texts of the file `path`."""
    texts = [example for example in examples if isinstance(example, TextExample)]
    gold = _gold(labeller, texts, path)
    encoded = labeller.tokenizer.encode([text.input for text in texts])
    logits = labeller.infer(encoded)
    return Answers(
        gold=gold,
        logits=np.stack(logits),
        truncated=sum(item.truncated for item in encoded),
    )


def judge(answers: Answers, decision: DecisionRule) -> Part:
    """Decide; and bin the scores, raw and at the decision's temperature, `(2, 3, BINS)`."""
    return Part(
        gold=[answers.gold],
        predicted=[decide(answers.logits, decision)],
        truncated=answers.truncated,
        bins=_bins(answers, decision),
    )


def score_texts(
    gold: NDArray[Any], predicted: NDArray[Any], labels: Sequence[str], decision: DecisionRule
) -> AnyScores:
    """Score what was decided; both arrays are as `runtime.decisions.decide` gives them."""
    match decision.problem_type:
        case ProblemType.SINGLE_LABEL:
            return classification_scores(gold, predicted, label_names(labels, decision))
        case ProblemType.MULTI_LABEL:
            return multi_label_scores(gold, predicted, labels)
        case ProblemType.REGRESSION:
            return value_scores(gold, predicted)


def contributions(gold: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.float64]:
    """Return each text's part of the metric; see `Labelling.per_text`."""
    match gold.dtype.kind:
        case "b":  # the micro F1 of sets of labels
            columns = [
                2 * (gold & predicted).sum(axis=1),
                (gold.sum(axis=1) + predicted.sum(axis=1)),
            ]
        case "f":
            columns = [gold, predicted]
        case _:
            columns = [gold == predicted, np.ones(len(gold))]
    return np.stack(columns, axis=1).astype(np.float64)


def _gold(labeller: Labeller, texts: Sequence[TextExample], path: Path) -> NDArray[Any]:
    problem_type = labeller.decision.problem_type
    if problem_type is ProblemType.REGRESSION:
        return np.array([text.value for text in texts], np.float64)
    names = label_names(labeller.labels, labeller.decision)
    numbers = {name: number for number, name in enumerate(names)}
    rows = []
    for text in texts:
        try:
            rows.append([numbers[name] for name in text.names])
        except KeyError:
            raise unknown_label(f"{path}:{text.line}", text.names, names) from None
    if problem_type is ProblemType.SINGLE_LABEL:
        return np.array(rows, np.int64)[:, 0]
    gold = np.zeros((len(rows), len(names)), np.bool_)
    for has, own in zip(gold, rows, strict=True):
        has[own] = True
    return gold


def _bins(answers: Answers, decision: DecisionRule) -> NDArray[np.float64] | None:
    """Bin the scores of best labels, of texts in scope; or each label's, where there are many."""
    gold, logits = answers.gold, answers.logits
    both = [DecisionRule(problem_type=decision.problem_type), decision]
    match decision.problem_type:
        case ProblemType.SINGLE_LABEL:
            known = gold < logits.shape[1]
            right = (logits.argmax(axis=1) == gold)[known]
            best = [score_labels(logits[known], each).max(axis=1) for each in both]
            return np.stack([bin_scores(scores, right) for scores in best])
        case ProblemType.MULTI_LABEL:
            each = [score_labels(logits, one).ravel() for one in both]
            return np.stack([bin_scores(scores, gold.ravel()) for scores in each])
        case ProblemType.REGRESSION:
            return None
