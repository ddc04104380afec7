"""Texts, or pairs of texts, with one label, several labels or a value each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import DataError
from bertedge.metrics.calibration import (
    DEFAULT_THRESHOLD,
    best_f1_threshold,
    best_scope_threshold,
    bin_scores,
)
from bertedge.predictions import (
    Classification,
    MultiLabelClassification,
    Regression,
    TextPrediction,
)
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.logits import Floats, sigmoid, softmax
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Activation, DecisionRule, ModelSpec, ProblemType, Text
from bertedge.tasks import contract
from bertedge.tasks.contract import (
    LABEL_BOUNDS,
    Judged,
    LabelledRows,
    Outputs,
    PartialEvaluation,
    PredictOptions,
    TrainingRows,
    text_examples,
    unknown_label,
)

if TYPE_CHECKING:
    from bertedge.data import ExampleFile
    from bertedge.data.example import Example, TextExample
    from bertedge.data.labels import Survey
    from bertedge.metrics import AnyScores, Baseline

AUTO_MODEL = "AutoModelForSequenceClassification"
HEADS: tuple[str, ...] = ("ForSequenceClassification",)
ONNX_TASK = "text-classification"
BOUNDS = LABEL_BOUNDS
VALUE = "value"
"""The name of what regression gives a text."""
STILL = 0.01
"""Of the spread of the values: a model whose own have less gives every text the same."""
_METRICS = {
    ProblemType.SINGLE_LABEL: "accuracy",
    ProblemType.MULTI_LABEL: "micro_f1",
    ProblemType.REGRESSION: "spearman",
}

check, keep, settle = contract.no_check, contract.keep_all, contract.no_options


def metric(rule: DecisionRule) -> str:
    """Return the name of what `score` calls its value."""
    return _METRICS[rule.problem_type]


# Predicting.


def encode(tokenizer: Tokenizer, inputs: Sequence[Text], first: int) -> list[Encoded]:
    """Return one row a text or pair, cut at its end."""
    return tokenizer.encode(inputs)


def decode(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    inputs: Sequence[Text],
    rows: Sequence[Encoded],
    logits: Sequence[Floats],
    options: PredictOptions,
) -> Iterator[TextPrediction]:
    """Yield the label, the labels or the value of each text."""
    for row, found in zip(rows, predict(np.stack(logits), spec.labels, spec.rule), strict=True):
        yield replace(found, truncated=True) if row.truncated else found


def predict(logits: Floats, labels: Sequence[str], rule: DecisionRule) -> Sequence[TextPrediction]:
    """Return the predictions of `(texts, labels)`."""
    match rule.problem_type:
        case ProblemType.SINGLE_LABEL:
            return classify(logits, labels, rule)
        case ProblemType.MULTI_LABEL:
            return _label_each(probabilities(logits, rule), labels, _threshold(rule))
        case ProblemType.REGRESSION:
            return [Regression(value=value) for value in values(logits, rule).tolist()]


def classify(
    logits: Floats,
    labels: Sequence[str],
    rule: DecisionRule = DecisionRule(),  # noqa: B008 (frozen)
) -> list[Classification]:
    """Return the best label of each row of `(texts, labels)`."""
    scores = softmax(logits / np.float32(rule.temperature))
    best = scores.argmax(axis=-1).tolist()
    found = [
        Classification(
            label=labels[label], score=row[label], scores=dict(zip(labels, row, strict=True))
        )
        for label, row in zip(best, scores.tolist(), strict=True)
    ]
    least, outside = rule.threshold, rule.out_of_scope
    if least is None or outside is None:
        return found
    return [each if each.score >= least else replace(each, label=outside) for each in found]


def probabilities(logits: Floats, rule: DecisionRule) -> Floats:
    """Return the scores `(texts, labels)` that the model gives its labels; values as they are."""
    match rule.problem_type:
        case ProblemType.SINGLE_LABEL:
            return softmax(logits / np.float32(rule.temperature))
        case ProblemType.MULTI_LABEL:
            return sigmoid(logits / np.float32(rule.temperature))
        case ProblemType.REGRESSION:
            return values(logits, rule)[:, None]


def values(logits: Floats, rule: DecisionRule) -> Floats:
    """Return the value of each text `(texts,)`."""
    match rule.activation:
        case Activation.IDENTITY:
            return logits[:, 0]
        case Activation.SIGMOID:
            return sigmoid(logits[:, 0])
        case Activation.TANH:
            return np.tanh(logits[:, 0])


def apply_rule(logits: Floats, rule: DecisionRule) -> NDArray[Any]:
    """Return what the model says of each row of `(texts, labels)`.

    Label numbers `(texts,)`, out of scope being one past the last label; or which labels each
    text has, `(texts, labels)`, booleans; or values `(texts,)`.
    """
    match rule.problem_type:
        case ProblemType.SINGLE_LABEL:
            best: NDArray[Any] = logits.argmax(axis=-1)
            if rule.threshold is not None and rule.out_of_scope is not None:
                low = probabilities(logits, rule).max(axis=-1) < rule.threshold
                best[low] = logits.shape[-1]
            return best
        case ProblemType.MULTI_LABEL:
            return probabilities(logits, rule) >= _threshold(rule)
        case ProblemType.REGRESSION:
            return values(logits, rule)


def label_names(labels: Sequence[str], rule: DecisionRule) -> tuple[str, ...]:
    """Return the names of the numbers that `apply_rule` gives."""
    return (*labels, *(() if rule.out_of_scope is None else (rule.out_of_scope,)))


def _label_each(
    scores: Floats, labels: Sequence[str], threshold: float
) -> list[MultiLabelClassification]:
    best_first = np.argsort(-scores, axis=-1, kind="stable").tolist()
    counts = (scores >= threshold).sum(axis=-1).tolist()
    return [
        MultiLabelClassification(
            labels=tuple(labels[i] for i in order[:count]),
            scores=dict(zip(labels, row, strict=True)),
        )
        for order, count, row in zip(best_first, counts, scores.tolist(), strict=True)
    ]


def _threshold(rule: DecisionRule) -> float:
    return DEFAULT_THRESHOLD if rule.threshold is None else rule.threshold


# Labelled data.


def encode_labelled(
    spec: ModelSpec, tokenizer: Tokenizer, examples: Sequence[Example], path: Path
) -> LabelledRows:
    """Tokenize texts; gold is one array, as `apply_rule` gives it."""
    texts = text_examples(examples)
    gold = _gold(spec, texts, path)
    return LabelledRows(rows=tokenizer.encode([text.input for text in texts]), gold=[gold])


def outputs(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    labelled: LabelledRows,
    logits: Sequence[NDArray[Any]],
) -> Outputs:
    """Stack the logits `(texts, labels)`."""
    return Outputs(
        gold=labelled.gold,
        answers=[np.stack(logits)],
        rows=len(examples),
        truncated=sum(row.truncated for row in labelled.rows),
    )


def judge(
    spec: ModelSpec, examples: Sequence[Example], labelled: LabelledRows, logits: Sequence[Floats]
) -> Iterator[Judged]:
    """Compare labels, sets of labels, or values."""
    stacked = np.stack(logits)
    found, scores = apply_rule(stacked, spec.rule), probabilities(stacked, spec.rule)
    names, gold = label_names(spec.labels, spec.rule), np.concatenate(labelled.gold)
    match spec.rule.problem_type:
        case ProblemType.SINGLE_LABEL:
            rows = zip(gold.tolist(), found.tolist(), scores.max(axis=1).tolist(), strict=True)
            for right, said, score in rows:
                yield Judged(
                    gold=names[right], predicted=names[said], wrong=right != said, score=score
                )
        case ProblemType.MULTI_LABEL:
            for has, says, own in zip(gold, found, scores, strict=True):
                sure = np.where(says, own, 1 - own)
                wrong = has != says
                yield Judged(
                    gold=", ".join(np.array(names)[has]),
                    predicted=", ".join(np.array(names)[says]),
                    wrong=bool(wrong.any()),
                    score=float(sure[wrong].max() if wrong.any() else sure.min()),
                )
        case ProblemType.REGRESSION:
            for right, said in zip(gold.tolist(), found.tolist(), strict=True):
                off = abs(right - said)
                yield Judged(gold=f"{right:g}", predicted=f"{said:.6g}", wrong=off > 0, score=off)


def decide(spec: ModelSpec, outputs: Outputs) -> PartialEvaluation:
    """Apply the rule, and bin the scores, raw and at the rule's temperature."""
    gold, logits = np.concatenate(outputs.gold), np.concatenate(outputs.answers)
    return PartialEvaluation(
        gold=[gold],
        predicted=[apply_rule(logits, spec.rule)],
        rows=outputs.rows,
        truncated=outputs.truncated,
        bins=confidence_bins(gold, logits, spec.rule),
    )


def score(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> AnyScores:
    """Score what was decided; arrays as `apply_rule` gives them."""
    from bertedge import metrics

    truth, found = np.concatenate(gold), np.concatenate(predicted)
    match spec.rule.problem_type:
        case ProblemType.SINGLE_LABEL:
            return metrics.classification_scores(truth, found, label_names(spec.labels, spec.rule))
        case ProblemType.MULTI_LABEL:
            return metrics.multi_label_scores(truth, found, spec.labels)
        case ProblemType.REGRESSION:
            return metrics.value_scores(truth, found)


def contributions(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    """Return each text's part of the metric `(texts, 2)`."""
    truth, found = np.concatenate(gold), np.concatenate(predicted)
    match spec.rule.problem_type:
        case ProblemType.SINGLE_LABEL:
            columns = [truth == found, np.ones(len(truth))]
        case ProblemType.MULTI_LABEL:  # the micro F1 of sets of labels
            columns = [2 * (truth & found).sum(axis=1), truth.sum(axis=1) + found.sum(axis=1)]
        case ProblemType.REGRESSION:
            columns = [truth, found]
    return np.stack(columns, axis=1).astype(np.float64)


def baseline(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> Baseline:
    """Score the commonest label, or the mean value."""
    from bertedge.metrics import Baseline, ValueScores

    truth, found = np.concatenate(gold), np.concatenate(predicted)
    names = label_names(spec.labels, spec.rule)
    match spec.rule.problem_type:
        case ProblemType.SINGLE_LABEL:
            best = int(np.bincount(truth).argmax())
            answer, guess = names[best], np.full_like(truth, best)
            alone = names[int(found[0])]
        case ProblemType.MULTI_LABEL:
            best = int(truth.sum(axis=0).argmax())
            answer, guess = names[best], np.zeros_like(truth)
            guess[:, best] = True
            alone = ", ".join(names[i] for i in np.flatnonzero(found[0])) or "no label"
        case ProblemType.REGRESSION:
            mean = float(truth.mean())
            answer, guess, alone = f"{mean:.4g}", np.full_like(truth, mean), f"{found[0]:.4g}"
            found = np.where(found.std() < STILL * truth.std(), found[0], found)
    scores = score(spec, [truth], [guess])
    return Baseline(
        answer=answer,
        value=scores.value,
        rmse=scores.rmse if isinstance(scores, ValueScores) else None,
        always=alone if contract.only(found) and not contract.only(truth) else None,
    )


def confidence_bins(
    gold: NDArray[Any], logits: Floats, rule: DecisionRule
) -> NDArray[np.float64] | None:
    """Bin the scores of best labels, of texts in scope; or of each label, where texts have several.

    `(2, 3, bins)`: raw, and at the rule's temperature. None for values.
    """
    both = [DecisionRule(problem_type=rule.problem_type), rule]
    match rule.problem_type:
        case ProblemType.SINGLE_LABEL:
            known = gold < logits.shape[1]
            right = (logits.argmax(axis=1) == gold)[known]
            best = [probabilities(logits[known], each).max(axis=1) for each in both]
            return np.stack([bin_scores(scores, right) for scores in best])
        case ProblemType.MULTI_LABEL:
            each = [probabilities(logits, one).ravel() for one in both]
            return np.stack([bin_scores(scores, gold.ravel()) for scores in each])
        case ProblemType.REGRESSION:
            return None


def choose_threshold(rule: DecisionRule, outputs: Outputs) -> DecisionRule:
    """Choose the threshold with the best F1, or between texts in scope and out of it."""
    gold, logits = np.concatenate(outputs.gold), np.concatenate(outputs.answers)
    scores = probabilities(logits, rule)
    if rule.problem_type is ProblemType.MULTI_LABEL:
        return replace(rule, threshold=best_f1_threshold(scores, gold))
    if rule.out_of_scope is not None:
        right, in_scope = logits.argmax(axis=1) == gold, gold < logits.shape[1]
        return replace(rule, threshold=best_scope_threshold(scores.max(axis=1), right, in_scope))
    return rule


def _gold(spec: ModelSpec, texts: Sequence[TextExample], path: Path) -> NDArray[Any]:
    problem_type = spec.rule.problem_type
    if problem_type is ProblemType.REGRESSION:
        return np.array([text.value for text in texts], np.float64)
    names = label_names(spec.labels, spec.rule)
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


# Training.


def labels_of(examples: ExampleFile, survey: Survey, rule: DecisionRule) -> tuple[str, ...]:
    """Return the labels, numbers sorted by value; DataError where there is nothing to tell apart.

    Of regression it is the one name VALUE.
    """
    from bertedge.data.labels import by_value, check_several

    if rule.problem_type is ProblemType.REGRESSION:
        if len(survey.values) < 2:
            raise DataError(
                f"{examples.path} has only the value {min(survey.values):g}; training needs at "
                "least two"
            )
        return (VALUE,)
    labels = sorted(set(survey.counts) - {rule.out_of_scope}, key=by_value)
    least = 1 if rule.problem_type is ProblemType.MULTI_LABEL else 2
    return check_several(examples, labels, least)


def training_row(
    example: Example, number: dict[str, int], problem_type: ProblemType, *, scored: bool
) -> dict[str, Any] | None:
    """Return the text and what the loss compares with: a number, a value, or 0 and 1 a label.

    A text without any of the labels, where each must have one, is left out: it is out of scope.
    """
    from bertedge.data.example import TextExample  # predicting needs none

    assert isinstance(example, TextExample)
    label: int | float | list[float]
    match problem_type:
        case ProblemType.SINGLE_LABEL:
            if example.label not in number:
                return None
            label = number[example.label]
        case ProblemType.MULTI_LABEL:
            has = {number[name] for name in example.names}
            label = [float(i in has) for i in range(len(number))]
        case ProblemType.REGRESSION:
            label = float(example.value or 0.0)
    return {"text": example.text, "pair": example.pair, "label": label}


def encode_training(
    tokenizer: Tokenizer, batch: dict[str, list[Any]], numbers: Sequence[int]
) -> TrainingRows:
    """Tokenize texts and pairs."""
    pairs = zip(batch["text"], batch["pair"], strict=True)
    rows = tokenizer.encode([text if pair is None else (text, pair) for text, pair in pairs])
    return TrainingRows(rows=rows, labels=batch["label"])


def training_scores(
    spec: ModelSpec, gold: NDArray[Any], logits: Any, dev: tuple[Tokenizer, ExampleFile]
) -> AnyScores:
    """Score with the threshold that these very texts choose."""
    rule = DecisionRule(problem_type=spec.rule.problem_type)
    if rule.problem_type is ProblemType.MULTI_LABEL:
        gold = gold > 0
    found = Outputs(gold=[gold], answers=[logits], rows=len(gold), truncated=0)
    rule = choose_threshold(rule, found)
    return score(replace(spec, rule=rule), [gold], [apply_rule(logits, rule)])
