"""Scores as text: the one report that finetune, export and evaluate print."""

from bertedge.metrics import Scores

WIDEST_CONFUSION = 10
MOST_CLASSES = 40
CORNER = "gold \\ predicted"


METRICS = {
    "accuracy": "accuracy",
    "entity_f1": "entity F1",
    "masked_accuracy": "accuracy by hidden word",
}


def render_scores(scores: Scores, *, rows: int) -> str:
    """Lay out a headline, the table of classes and, for few classes, the confusion matrix."""
    name = METRICS[scores.metric]
    lines = [f"{name} {scores.value:.4f} on {rows:,} rows"]
    if scores.metric == "entity_f1":
        lines[0] += f"   (accuracy by word {scores.accuracy:.4f})"
    if scores.perplexity is not None:
        lines[0] += f"   (perplexity {scores.perplexity:,.2f})"
    if scores.classes:
        lines += ["", *_class_table(scores)]
    if scores.confusion is not None and len(scores.confusion) <= WIDEST_CONFUSION:
        lines += ["", *_confusion_table(scores)]
    return "\n".join(lines)


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
