"""What stands out of a report, in sentences: the page and the terminal begin with it."""

from collections.abc import Iterator

from bertedge.metrics import FrameScores, Scores
from bertedge.report.intervals import Interval
from bertedge.report.record import Report

FEWEST = 5
"""Rows of a class or a confusion that is named."""
MOST_DOUBTED = 0.3
"""Share of labels that can be called likely wrong."""
WRONG_SCORES = 0.05
"""Expected calibration error from which on it is named."""


def findings(report: Report) -> list[str]:
    """Return sentences, the gravest first."""
    return [
        *_labels(report), *_parts(report), *_data(report), *_more_rows(report), *_other(report),
    ]  # fmt: skip


def class_scores(report: Report) -> Scores | None:
    """Return the scores that have classes: of frames those of the intents."""
    scores = report.scores
    if isinstance(scores, FrameScores):
        return scores.intents
    return scores if isinstance(scores, Scores) and scores.classes else None


def confusions(report: Report) -> list[tuple[str, str, int, int]]:
    """Return gold label, predicted label, how often, and of how many; the commonest first."""
    scores = class_scores(report)
    if scores is None or scores.confusion is None:
        return []
    found = []
    for row, (own, counts) in enumerate(zip(scores.classes, scores.confusion, strict=True)):
        for column, count in enumerate(counts):
            if column != row and count:
                found.append((own.label, scores.classes[column].label, count, own.support))
    return sorted(found, key=lambda each: -each[2])


def percent(share: float) -> str:
    """Write a share for people."""
    return f"{100 * share:.1f} %"


def points(change: float) -> str:
    """Write a difference of metrics in points."""
    return f"{100 * change:+.1f} points".replace("-", "\u2212")


def between(found: Interval) -> str:
    """Write an interval's ends."""
    return f"{found.low:.3f} to {found.high:.3f}"


def _labels(report: Report) -> Iterator[str]:
    if report.answered == 1 and report.rows > 1:
        only = report.errors[0].predicted if report.errors else report.commonest
        yield f"The model gives every text the same label, {only!r}: it has learnt nothing."
    if report.always_commonest is not None:
        yield (
            f"Always answering {report.commonest!r} would be right on "
            f"{percent(report.always_commonest)} of the rows; the model is on "
            f"{percent(report.value.value)}."
        )
    scores = class_scores(report)
    able = [each for each in scores.classes if each.support >= FEWEST] if scores else []
    if len(able) > 1:
        worst = min(able, key=lambda each: each.f1)
        if worst.f1 < 1:
            yield (
                f"{worst.label!r} is found worst: F1 {worst.f1:.3f} on {worst.support:,} "
                f"(recall {worst.recall:.3f}, precision {worst.precision:.3f})."
            )
    first = next(iter(confusions(report)), None)
    if first and first[2] >= FEWEST:
        yield f"{first[0]!r} is taken for {first[1]!r} in {first[2]:,} of {first[3]:,} rows."
    if report.calibration and report.calibration.calibrated >= WRONG_SCORES:
        yield (
            f"Scores are off by {report.calibration.calibrated:.3f} on the mean (expected "
            "calibration error): a threshold on them means less than it says."
        )


def _parts(report: Report) -> Iterator[str]:
    for slicing in report.slicings:
        for each in slicing.slices:
            if each.metric.high < report.value.value and each.rows >= FEWEST:
                yield (
                    f"{slicing.by}, {each.name}: {each.metric.value:.3f} on {each.rows:,} rows "
                    f"({between(each.metric)}), below the whole."
                )
    for slicing in report.fairness:
        if slicing.gap and slicing.gap.low > 0:
            yield (
                f"{slicing.by}: {slicing.worst} is {points(slicing.gap.value)[1:]} behind "
                f"{slicing.best} ({between(slicing.gap)})."
            )
    for kind in report.robustness.kinds if report.robustness else ():
        if kind.change.high < 0:
            yield (
                f"{kind.name.capitalize() if kind.name.islower() else kind.name}: "
                f"{points(kind.change.value)}; {percent(kind.answers_changed)} of answers change."
            )


def _data(report: Report) -> Iterator[str]:
    found = report.duplicates
    if found and found.in_train:
        yield f"{found.in_train:,} rows stand in the training file too: their score is no proof."
    if found and found.contradicting:
        yield f"{found.contradicting:,} rows have the text of another row, and another label."
    if report.doubts and report.doubts.count:
        share = report.doubts.count / report.rows
        said = f"{report.doubts.count:,} labels ({percent(share)}) are likely wrong; read the list."
        yield (
            said
            if share <= MOST_DOUBTED
            else (
                f"The probabilities contradict {percent(share)} of the labels: too many for all of "
                "them to be wrong, so that the model is to blame first."
            )
        )
    if report.truncated:
        yield (
            f"{report.truncated:,} texts are longer than the {report.max_length} tokens that the "
            "model reads; it does not see their ends."
        )


def _more_rows(report: Report) -> Iterator[str]:
    curve = report.learning_curve
    if curve is not None:
        ends = f"{points(curve.twice.low).removesuffix(' points')} to {points(curve.twice.high)}"
        unsure = ", within chance" if curve.twice.low <= 0 else ""
        yield (
            f"Twice as many rows as the {curve.points[-1].rows:,} of the training may bring "
            f"{points(curve.twice.value)} ({ends}{unsure}): an estimate."
        )


def _other(report: Report) -> Iterator[str]:
    other = report.comparison
    if other is None:
        return
    sure = other.change.low > 0 or other.change.high < 0
    yield (
        f"Against {other.name}: {points(other.change.value)}"
        f"{'' if sure else ', within chance'}; {percent(other.same)} of answers are the same."
    )
