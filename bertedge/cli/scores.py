"""Scores as text: the one report that finetune, export and evaluate print."""

from typing import TYPE_CHECKING

from bertedge.bundle import Accuracy, BatchEffect
from bertedge.errors import shorten
from bertedge.metrics import AnyScores, Baseline, FrameScores, Scores, ValueScores
from bertedge.metrics.calibration import CalibrationError
from bertedge.metrics.squad import AnswerScores
from bertedge.spec import DecisionRule, Task

if TYPE_CHECKING:
    from bertedge.checkpoint import CrossValidation
    from bertedge.checkpoint.training import Forgetting, SelfTraining
    from bertedge.finetune.search.trials import Trials

TITLES = {
    "accuracy": "accuracy",
    "micro_f1": "micro F1",
    "spearman": "Spearman",
    "entity_f1": "entity F1",
    "frame_accuracy": "frame accuracy",
    "masked_accuracy": "accuracy by hidden word",
    "cosine": "cosine",
    "answer_f1": "answer F1",
}
"""What people call the metrics."""
WIDEST_CONFUSION = 10
MOST_CLASSES = 40
CORNER = "gold \\ predicted"


def render_scores(
    scores: AnyScores | None, *, rows: int, unit: str = "word", baseline: Baseline | None = None
) -> str:
    """Lay out a headline, the table of classes and, for few classes, the confusion matrix.

    `unit` is what has a tag. Below the headline stands what the best constant answer scores.
    """
    if scores is None:
        return f"{rows:,} plain texts, nothing to score: give pairs of texts with a value"
    lines = _headline(scores, rows, unit)
    lines += [] if baseline is None else _baseline(scores, rows, baseline)
    if isinstance(scores, FrameScores):
        lines += [*_tables(scores.intents), *_tables(scores.slots)]
    elif isinstance(scores, Scores):
        lines += _tables(scores)
    return "\n".join(lines)


def _headline(scores: AnyScores, rows: int, unit: str) -> list[str]:
    lines = [f"{TITLES[scores.metric]} {scores.value:.4f} on {rows:,} rows"]
    if isinstance(scores, ValueScores):
        off = "" if scores.rmse is None else f", root mean squared error {scores.rmse:.4f}"
        return [f"{lines[0]}   (Pearson {scores.pearson:.4f}{off})"]
    if isinstance(scores, FrameScores):
        lines[0] += (
            f"   (intent accuracy {scores.intents.value:.4f}, slot entity F1 "
            f"{scores.slots.value:.4f}; a frame is the intent and all slots of a text)"
        )
        return lines
    if isinstance(scores, AnswerScores):
        return [lines[0] + _parts(scores)]
    of = {"entity_f1": f"by {unit}", "micro_f1": "of whole sets of labels"}.get(scores.metric)
    if of is not None:
        lines[0] += f"   (accuracy {of} {scores.accuracy:.4f})"
    if scores.perplexity is not None:
        lines[0] += f"   (perplexity {scores.perplexity:,.2f})"
    return lines


def _baseline(scores: AnyScores, rows: int, baseline: Baseline) -> list[str]:
    """Return a line of what always giving one answer scores, and one if the model does just so."""
    found = f"{TITLES[scores.metric]} {baseline.value:.4f}"
    if baseline.accuracy is not None:
        found += f", accuracy by word {baseline.accuracy:.4f}"
    if baseline.rmse is not None:
        found = f"root mean squared error {baseline.rmse:.4f}"
    lines = [f"always {shorten(baseline.answer, 40)}: {found}"]
    if baseline.always is not None:
        lines.append(
            f"warning: this model has learnt nothing, all {rows:,} answers are "
            f"{shorten(baseline.always, 40)}; train longer (--epochs), at another --learning-rate, "
            "on more rows, or with --class-weights balanced"
        )
    return lines


def render_folds(found: "CrossValidation") -> list[str]:
    """Return the scores of all rows, each by a model that has not seen it, and those of folds."""
    if len(found.folds) == 1:
        spread = "one fold was scored, there was no time for others"
    else:
        each = ", ".join(f"{fold.score:.4f}" for fold in found.folds)
        of_folds = f"{TITLES[found.metric]} {found.mean:.4f} ± {found.std:.4f} ({each})"
        spread = f"{len(found.folds)} folds: {of_folds}"
    return [
        render_scores(found.scores, rows=sum(fold.rows for fold in found.folds)),
        "",
        spread,
    ]


def render_trials(found: "Trials") -> list[str]:
    """Return the table of a search's trials, the best marked."""
    from bertedge.finetune.search.trials import describe_params

    lines = [f"trial  {TITLES[found.metric]:>14}  epochs  seconds  settings"]
    for each in found.trials:
        score = "-" if each.score is None else f"{each.score:.4f}"
        mark = "*" if each.number == found.best else " "
        state = "" if each.state == "finished" else f"{each.state.value}: "
        lines.append(
            f"{each.number:>5}{mark} {score:>14}  {each.trained_epochs:>6.3g}  "
            f"{each.seconds:>7.0f}  {state}{describe_params(each, found.trials[0].params)}"
        )
    return [*lines, f"* the best of {len(found.trials)}, in {found.seconds / 60:.1f} minutes"]


def _parts(scores: AnswerScores) -> str:
    parts = {
        "exact match": scores.exact_match,
        "F1 where there is an answer": scores.answerable,
        "none given where there is none": scores.unanswerable,
    }
    known = [f"{name} {value:.4f}" for name, value in parts.items() if value is not None]
    return f"   ({', '.join(known)})"


def render_calibration(error: CalibrationError) -> str:
    """Return a line: how far scores are from how often labels are right."""
    found = f"expected calibration error {error.calibrated:.4f}"
    if error.temperature != 1:
        found += f" at temperature {error.temperature:.4g}, {error.raw:.4f} without"
    return found


def render_batch_effect(effect: BatchEffect) -> str:
    """Return a line: whether a text's answer depends on what else is in its batch."""
    verdict = "do not depend" if effect.independent else "depend"
    moved = f"logits move by up to {effect.max_difference:.2g} of their spread"
    of = f"{effect.texts} texts"
    if effect.answers_changed is None:
        return f"answers {verdict} on the batch: {moved}, on {of}"
    return f"answers {verdict} on the batch: {moved}, {effect.answers_changed} of {of} change"


def render_change(accuracy: Accuracy) -> str:
    """Lay out what a model scores against the one that it was made of."""
    points = 100 * (accuracy.variant - accuracy.checkpoint)
    chance = ""
    if accuracy.significant is False and points:
        chance = f", not significant (n = {accuracy.rows:,})"
    return (
        f"{TITLES[accuracy.metric]} {accuracy.checkpoint:.4f} → {accuracy.variant:.4f} "
        f"({points:+.2f} points{chance})"
    )


def render_forgetting(found: "Forgetting") -> str:
    """Lay out what training on cost on old data."""
    points = 100 * (found.after - found.before)
    return (
        f"on old data {TITLES[found.metric]} {found.before:.4f} → {found.after:.4f} "
        f"({points:+.2f} points; {found.rows:,} rows: {found.data})"
    )


def render_self_training(found: "SelfTraining") -> str:
    """Lay out what texts brought that a model labelled itself."""
    if found.after is None:
        return "self-training: the model was sure of no text; the first model is kept"
    points = 100 * (found.after - found.before)
    kept = "" if found.kept else "; the first model is kept"
    return (
        f"self-training: {TITLES[found.metric]} {found.before:.4f} → {found.after:.4f} "
        f"({points:+.2f} points{kept})"
    )


def render_agreement(accuracy: Accuracy) -> str:
    """Lay out how far a model answers as the one that it was made of."""
    of = "" if accuracy.entities is None else " of entities"
    parts = [f"{accuracy.agreement:.2%}{of}"]
    if accuracy.text_agreement not in (None, accuracy.agreement):
        parts.append(f"{accuracy.text_agreement:.2%} of texts")
    if accuracy.word_agreement is not None:
        parts.append(f"{accuracy.word_agreement:.2%} of words")
    return ", ".join(parts)


def render_decision(
    task: Task, decision: DecisionRule, fitted: CalibrationError | None
) -> list[str]:
    """Return lines: what was chosen on the dev data, what a temperature does or would do."""
    lines = []
    if decision.threshold is not None and task is Task.QUESTION_ANSWERING:
        lines.append(f"no answer where that scores {decision.threshold:.4f} above the best answer")
    elif decision.threshold is not None:
        below = f", below it is {decision.out_of_scope!r}" if decision.out_of_scope else ""
        lines.append(f"threshold {decision.threshold:.4f}{below}")
    if fitted is not None:
        lines.append(render_temperature(decision, fitted))
    return lines


def render_temperature(decision: DecisionRule, fitted: CalibrationError) -> str:
    """Return a line: what a temperature does to scores it was not chosen on, and if it is kept."""
    if decision.temperature != 1:
        outcome, end = "makes it", ""
    elif fitted.calibrated < fitted.raw:
        outcome, end = "would make it", " (--calibrate)"
    else:
        outcome, end = "would make it", ", so it is not kept"
    return (
        f"expected calibration error {fitted.raw:.4f}; temperature {fitted.temperature:.4g} "
        f"{outcome} {fitted.calibrated:.4f} on the half of the data that did not choose it{end}"
    )


def _tables(scores: Scores) -> list[str]:
    lines = ["", *_class_table(scores)] if scores.classes else []
    if scores.confusion is not None and len(scores.confusion) <= WIDEST_CONFUSION:
        lines += ["", *_confusion_table(scores)]
    return lines


def _class_table(scores: Scores) -> list[str]:
    width = max(len("class"), len("macro average"), *(len(c.label) for c in scores.classes))
    lines = [f"{'class':<{width}}  precision  recall      F1  support"]
    for row in scores.classes[:MOST_CLASSES]:
        lines.append(
            f"{row.label:<{width}}  {row.precision:9.4f}  {row.recall:6.4f}  {row.f1:6.4f}"
            f"  {row.support:7,}"
        )
    if len(scores.classes) > MOST_CLASSES:
        lines.append(f"… and {len(scores.classes) - MOST_CLASSES} more (--json has all)")
    lines.append(
        f"{'macro average':<{width}}  {scores.macro_precision:9.4f}  {scores.macro_recall:6.4f}"
        f"  {scores.macro_f1:6.4f}  {sum(c.support for c in scores.classes):7,}"
    )
    return lines


def _confusion_table(scores: Scores) -> list[str]:
    assert scores.confusion is not None
    labels = [row.label for row in scores.classes]
    width = max(len(CORNER), *(len(label) for label in labels))
    cells = [max(6, len(label)) for label in labels]
    head = "  ".join(f"{label:>{cell}}" for label, cell in zip(labels, cells, strict=True))
    lines = [f"{CORNER:<{width}}  {head}"]
    for label, row in zip(labels, scores.confusion, strict=True):
        values = "  ".join(f"{n:>{cell},}" for n, cell in zip(row, cells, strict=True))
        lines.append(f"{label:<{width}}  {values}")
    return lines
