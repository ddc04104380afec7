"""One pass of a model over labelled examples: what the sections of a report are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertedge.data import Example
from bertedge.evaluation import Evaluation, TextModel, evaluate
from bertedge.evaluation.run import Examples, Seen
from bertedge.evaluation.wrong import check_judged, place_of, texts_of
from bertedge.progress import Progress
from bertedge.report.record import Row
from bertedge.spec import LabelKind, ProblemType
from bertedge.tasks.contract import Judged
from bertedge.tasks.text_classification import probabilities

MOST_LISTED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of a file in turn, and what a model says of them; one entry a row."""

    evaluation: Evaluation
    examples: list[Example]
    judged: list[Judged]
    tokens: NDArray[np.int64]
    """Of the text, as far as the model saw it."""
    gold: NDArray[np.int64] | None
    """Label numbers, where each text has one label."""
    scores: NDArray[np.float32] | None
    """Probabilities `(rows, labels)`, where texts have labels."""

    @property
    def per_text(self) -> NDArray[np.float64]:
        """Each row's part of the metric, see `Evaluation.per_text`."""
        assert self.evaluation.per_text is not None
        return self.evaluation.per_text

    @property
    def metric(self) -> str:
        """Its name."""
        assert self.evaluation.scores is not None
        return self.evaluation.scores.metric

    def row(self, number: int) -> Row:
        """Return a row for the record."""
        example, found = self.examples[number], self.judged[number]
        return Row(
            place=place_of(example),
            texts=tuple(texts_of(example)),
            gold=found.gold,
            predicted=found.predicted,
            score=found.score,
        )

    def worst(self) -> list[int]:
        """Return the numbers of the rows that are wrong, surest first."""
        wrong = [i for i, each in enumerate(self.judged) if each.wrong]
        return sorted(wrong, key=lambda i: -self.judged[i].score)


def read_rows(model: TextModel, examples: Examples, progress: Progress | None = None) -> Rows:
    """Predict every example and keep what is needed of it.

    Raises SettingError for a model of which no row is right or wrong, DataError as `evaluate`.
    """
    check_judged(model.spec)
    classes = model.spec.task.labels_are is LabelKind.CLASSES
    problem = model.spec.rule.problem_type
    read: list[Example] = []
    judged: list[Judged] = []
    tokens: list[NDArray[np.int64]] = []
    gold: list[NDArray[np.int64]] = []
    scores: list[NDArray[np.float32]] = []

    def keep(seen: Seen) -> None:
        read.extend(seen.examples)
        judged.extend(seen.judged)
        tokens.append(_tokens(seen))
        if classes and problem is not ProblemType.REGRESSION:
            scores.append(probabilities(np.stack(seen.logits), model.spec.rule))
        if classes and problem is ProblemType.SINGLE_LABEL:
            gold.extend(seen.labelled.gold)

    evaluation = evaluate(model, examples, progress, watch=keep)
    return Rows(
        evaluation=evaluation,
        examples=read,
        judged=judged,
        tokens=np.concatenate(tokens),
        gold=np.concatenate(gold) if gold else None,
        scores=np.concatenate(scores) if scores else None,
    )


def _tokens(chunk: Seen) -> NDArray[np.int64]:
    """Return how many tokens of each text were read, special ones left out."""
    found = np.zeros(len(chunk.examples), np.int64)
    for row in chunk.labelled.rows:
        end = row.first + row.content.stop - row.content.start
        found[row.text] = max(found[row.text], end)
    return found
