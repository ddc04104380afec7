"""A labelled file, labelled again by an engine, and the scores of that."""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge import metrics
from bertedge.data import Example, ExampleFile
from bertedge.evaluation.embeddings import embed
from bertedge.evaluation.labeller import Labeller, Part
from bertedge.evaluation.masks import fill
from bertedge.evaluation.questions import Asked, ask, decide_questions, join
from bertedge.evaluation.texts import Answers, answer, contributions, judge, score_texts
from bertedge.evaluation.words import count_entities, score_frames, score_words, tag
from bertedge.metrics import AnyScores
from bertedge.metrics.calibration import CalibrationError, calibration_error
from bertedge.metrics.squad import answer_overlap, score_answers
from bertedge.progress import Progress, Silent
from bertedge.spec import Task

CHUNK = 2048
"""Examples read, tokenized and sorted by length at a time; bounds the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """What an engine made of a labelled file."""

    scores: AnyScores | None
    """None for texts of which nothing but their embeddings is known."""
    predicted: NDArray[Any]
    """As `runtime.decisions.decide` gives it, or label numbers `(words,)` (that of a text's intent
    before those of its words), or tokens `(masks,)`, or spans `(questions,)`, of all texts in turn;
    or embeddings `(examples, texts, hidden)`."""
    rows: int
    truncated: int
    """Texts of which the end was not seen; token labels are read in windows, so never cut."""
    seconds: float
    calibration: CalibrationError | None = None
    """Of the labels' scores; None for tokens and values."""
    lengths: NDArray[np.int64] | None = None
    """Entries of `predicted` that each text has; None where a text has one."""

    tags: tuple[str, ...] = ()
    """Names of the numbers in `predicted`, where words are tagged."""
    per_text: NDArray[np.float64] | None = None
    """`(texts, 2)`: the metric is the sum of the first column divided by that of the second; of
    Spearman's correlation what is right and what is predicted. None where nothing is scored."""

    @property
    def answers(self) -> list[NDArray[Any]]:
        """What was predicted of each text."""
        if self.lengths is None:
            return list(self.predicted)
        return np.split(self.predicted, np.cumsum(self.lengths)[:-1])


def run(labeller: Labeller, examples: ExampleFile, progress: Progress | None = None) -> Labelling:
    """Label every example and score the result.

    Raises DataError for a gold label that the model does not know.
    """
    began = time.perf_counter()
    parts = []
    rows = 0
    for chunk in chunks(examples, progress or Silent()):
        parts.append(_label(labeller, chunk, examples.path))
        rows += len(chunk)
    return summarize(labeller, parts, rows=rows, seconds=time.perf_counter() - began)


def answer_all(
    labeller: Labeller, examples: ExampleFile, progress: Progress | None = None
) -> Answers:
    """Run the engine over a file of texts and keep all logits: it is for choosing a decision."""
    parts = [
        answer(labeller, chunk, examples.path) for chunk in chunks(examples, progress or Silent())
    ]
    return Answers(
        gold=np.concatenate([part.gold for part in parts]),
        logits=np.concatenate([part.logits for part in parts]),
        truncated=sum(part.truncated for part in parts),
    )


def ask_all(labeller: Labeller, examples: ExampleFile, progress: Progress | None = None) -> Asked:
    """Run the engine over a file of questions, before anything is decided."""
    return join([ask(labeller, chunk) for chunk in chunks(examples, progress or Silent())])


def summarize(labeller: Labeller, parts: Sequence[Part], *, rows: int, seconds: float) -> Labelling:
    """Put the parts of a file together and score them."""
    return Labelling(
        scores=_score(labeller, parts),
        predicted=np.concatenate([row for part in parts for row in part.predicted]),
        rows=rows,
        truncated=sum(part.truncated for part in parts),
        seconds=seconds,
        calibration=_calibration(labeller, parts),
        lengths=_lengths(labeller.task, parts),
        tags=labeller.labels if labeller.task.tags_words else (),
        per_text=_per_text(labeller, parts),
    )


def predict_each(labeller: Labeller, examples: Sequence[Example], path: Path) -> list[NDArray[Any]]:
    """Return what is predicted of each of some examples of the file `path`."""
    part = _label(labeller, list(examples), path)
    return summarize(labeller, [part], rows=len(examples), seconds=0.0).answers


def agreement(one: Labelling, other: Labelling) -> float:
    """Share of predictions of `one` that `other` gives too; see `metrics.agreement`."""
    return metrics.agreement(one.predicted, other.predicted)


def chunks(examples: Iterable[Example], progress: Progress) -> Iterator[list[Example]]:
    """Read examples CHUNK at a time, and show where that stands."""
    # Reading is quick beside labelling.
    progress.start("evaluating", sum(1 for _ in examples), "rows")
    iterator = iter(examples)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk
        progress.advance(len(chunk))
    progress.finish()


def _label(labeller: Labeller, chunk: list[Example], path: Path) -> Part:
    match labeller.task:
        case Task.TEXT_CLASSIFICATION:
            return judge(answer(labeller, chunk, path), labeller.decision)
        case Task.TOKEN_CLASSIFICATION | Task.INTENT_SLOTS:
            return tag(labeller, chunk, path)
        case Task.FILL_MASK:
            return fill(labeller, chunk)
        case Task.FEATURE_EXTRACTION:
            return embed(labeller, chunk)
        case Task.QUESTION_ANSWERING:
            return decide_questions(ask(labeller, chunk), labeller.decision)


def _score(labeller: Labeller, parts: Sequence[Part]) -> AnyScores | None:
    gold = [row for part in parts for row in part.gold]
    predicted = [row for part in parts for row in part.predicted]
    match labeller.task:
        case Task.TEXT_CLASSIFICATION:
            one, other = np.concatenate(gold), np.concatenate(predicted)
            return score_texts(one, other, labeller.labels, labeller.decision)
        case Task.TOKEN_CLASSIFICATION:
            return score_words(gold, predicted, labeller.labels)
        case Task.INTENT_SLOTS:
            return score_frames(gold, predicted, labeller.labels)
        case Task.FILL_MASK:
            entropy = [row for part in parts for row in part.entropy or ()]
            return metrics.mask_scores(*map(np.concatenate, (gold, predicted, entropy)))
        case Task.FEATURE_EXTRACTION:
            if not gold:
                return None
            return metrics.similarity_scores(np.concatenate(gold), np.concatenate(predicted))
        case Task.QUESTION_ANSWERING:
            return score_answers(np.concatenate(gold), labeller.decision.threshold)


def _lengths(task: Task, parts: Sequence[Part]) -> NDArray[np.int64] | None:
    if not (task.tags_words or task is Task.FILL_MASK):
        return None
    return np.array([len(row) for part in parts for row in part.predicted], np.int64)


def _per_text(labeller: Labeller, parts: Sequence[Part]) -> NDArray[np.float64] | None:
    gold = [row for part in parts for row in part.gold]
    predicted = [row for part in parts for row in part.predicted]
    match labeller.task:
        case Task.TEXT_CLASSIFICATION:
            return contributions(np.concatenate(gold), np.concatenate(predicted))
        case Task.TOKEN_CLASSIFICATION:
            counts = count_entities(gold, predicted, labeller.labels)
            return np.stack([2 * counts[:, 0], counts[:, 1:].sum(axis=1)], axis=1).astype(float)
        case Task.INTENT_SLOTS:
            right = [np.array_equal(*rows) for rows in zip(gold, predicted, strict=True)]
            return np.stack([right, np.ones(len(right))], axis=1).astype(float)
        case Task.FILL_MASK:
            pairs = zip(gold, predicted, strict=True)
            return np.array([[(one == other).sum(), len(one)] for one, other in pairs], float)
        case Task.FEATURE_EXTRACTION:
            if not gold:
                return None
            vectors = np.concatenate(predicted)
            values = metrics.cosines(vectors[:, 0], vectors[:, 1])
            return np.stack([np.concatenate(gold), values], axis=1)
        case Task.QUESTION_ANSWERING:
            overlap = answer_overlap(np.concatenate(gold), labeller.decision.threshold)
            return np.stack([overlap, np.ones(len(overlap))], axis=1)


def _calibration(labeller: Labeller, parts: Sequence[Part]) -> CalibrationError | None:
    bins = [part.bins for part in parts if part.bins is not None]
    if not bins:
        return None
    raw, calibrated = np.sum(bins, axis=0)
    return CalibrationError(
        raw=calibration_error(raw),
        calibrated=calibration_error(calibrated),
        temperature=labeller.decision.temperature,
    )
