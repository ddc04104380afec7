"""A labelled file, predicted again by a model, and the scores of that."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bertedge.data import Example, ExampleFile
from bertedge.metrics import AnyScores, Baseline
from bertedge.metrics.calibration import CalibrationError, calibration_error
from bertedge.model import TextModel
from bertedge.progress import Progress, Silent
from bertedge.spec import DecisionRule, ModelSpec
from bertedge.tasks import task_module
from bertedge.tasks.contract import Judged, LabelledRows, Outputs, PartialEvaluation

CHUNK = 2048
"""Examples read, tokenized and sorted by length at a time; bounds the memory."""
WATCHED_CHUNK = 256
"""The same where all logits of all tokens are held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Some examples in turn, and what a model makes of them."""

    examples: Sequence[Example]
    labelled: LabelledRows
    logits: Sequence[NDArray[Any]]
    """All logits of each row."""
    judged: Sequence[Judged]
    """What the task's `judge` says of each example."""


Watch = Callable[[Seen], None]


class Examples(Protocol):
    """What can be evaluated: a labelled file, or examples made of one."""

    @property
    def path(self) -> Path:
        """The file, for messages."""

    def __iter__(self) -> Iterator[Example]:
        """Stream the examples, anew each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a model predicted of a labelled file, and its scores."""

    scores: AnyScores | None
    """None for texts of which nothing but their embeddings is known."""
    predicted: NDArray[Any]
    """What the task's `decide` gives of all examples in turn: label numbers `(texts,)` or
    `(words,)` (a text's intent before its words), sets of labels `(texts, labels)`, values
    `(texts,)`, tokens `(masks,)`, spans `(questions,)`, embeddings `(examples, texts, hidden)`."""
    rows: int
    truncated: int
    """Texts of which the end was not seen; token labels are read in windows, so never cut."""
    seconds: float
    calibration: CalibrationError | None = None
    """Of the labels' scores; None for tokens and values."""
    baseline: Baseline | None = None
    """What a constant answer scores; None where none makes sense."""
    lengths: NDArray[np.int64] | None = None
    """Entries of `predicted` that each example has; None where each has one."""
    tags: tuple[str, ...] = ()
    """Names of the numbers in `predicted`, where words are tagged."""
    per_text: NDArray[np.float64] | None = None
    """`(texts, 2)`: the metric is the sum of the first column divided by that of the second; of
    Spearman's correlation what is right and what is predicted. None where nothing is scored."""

    @property
    def answers(self) -> list[NDArray[Any]]:
        """What was predicted of each example."""
        if self.lengths is None:
            return list(self.predicted)
        return np.split(self.predicted, np.cumsum(self.lengths)[:-1])


def evaluate(
    model: TextModel,
    examples: Examples,
    progress: Progress | None = None,
    *,
    watch: Watch | None = None,
) -> Evaluation:
    """Predict every example and return the scores.

    `watch` is called with examples in turn, a chunk at a time, and what the model makes of them.
    Raises DataError for a gold label that the model does not know.
    """
    began = time.perf_counter()
    size = CHUNK if watch is None else WATCHED_CHUNK
    parts = [
        model.task.decide(model.spec, run(model, chunk, examples.path, watch))
        for chunk in chunks(examples, progress or Silent(), size)
    ]
    return summarize(model.spec, parts, seconds=time.perf_counter() - began)


def collect(model: TextModel, examples: ExampleFile, progress: Progress | None = None) -> Outputs:
    """Return the outputs for a whole file, undecided: a rule is to be chosen on them."""
    parts = [run(model, chunk, examples.path) for chunk in chunks(examples, progress or Silent())]
    return Outputs(
        gold=[array for part in parts for array in part.gold],
        answers=[array for part in parts for array in part.answers],
        rows=sum(part.rows for part in parts),
        truncated=sum(part.truncated for part in parts),
    )


def decide(spec: ModelSpec, outputs: Outputs, rule: DecisionRule, seconds: float) -> Evaluation:
    """Return the scores of outputs under a rule."""
    spec = replace(spec, rule=rule)
    return summarize(spec, [task_module(spec.task).decide(spec, outputs)], seconds=seconds)


def run(
    model: TextModel, examples: Sequence[Example], path: Path, watch: Watch | None = None
) -> Outputs:
    """Run the engine over labelled examples of the file `path`."""
    task = model.task
    labelled = task.encode_labelled(model.spec, model.tokenizer, examples, path)
    logits: list[NDArray[Any]]
    if watch is None or task.judge is None:
        logits = model.infer(labelled.rows, keep=labelled.keep)
    else:
        logits = model.infer(labelled.rows)
        judged = list(task.judge(model.spec, examples, labelled, logits))
        watch(Seen(examples=examples, labelled=labelled, logits=logits, judged=judged))
        if labelled.keep is not None:
            logits = [labelled.keep(number, own) for number, own in enumerate(logits)]
    return task.outputs(model.spec, model.tokenizer, examples, labelled, logits)


def summarize(spec: ModelSpec, parts: Sequence[PartialEvaluation], *, seconds: float) -> Evaluation:
    """Join the parts of a file and score them."""
    task = task_module(spec.task)
    gold = [array for part in parts for array in part.gold]
    predicted = [array for part in parts for array in part.predicted]
    rows = sum(part.rows for part in parts)
    return Evaluation(
        scores=task.score(spec, gold, predicted),
        predicted=np.concatenate(predicted),
        rows=rows,
        truncated=sum(part.truncated for part in parts),
        seconds=seconds,
        calibration=_calibration(spec, parts),
        baseline=task.baseline(spec, gold, predicted),
        lengths=_lengths(spec, predicted),
        tags=spec.labels if spec.task.tags_words else (),
        per_text=task.contributions(spec, gold, predicted),
    )


def predict_each(model: TextModel, examples: Sequence[Example], path: Path) -> list[NDArray[Any]]:
    """Return what is predicted of each of some examples of the file `path`."""
    part = model.task.decide(model.spec, run(model, list(examples), path))
    return summarize(model.spec, [part], seconds=0.0).answers


def chunks(
    examples: Iterable[Example], progress: Progress, size: int = CHUNK
) -> Iterator[list[Example]]:
    """Yield examples `size` at a time, and show how far that is."""
    # Reading is quick beside predicting.
    progress.start("evaluating", sum(1 for _ in examples), "rows")
    iterator = iter(examples)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
        progress.advance(len(chunk))
    progress.finish()


def _lengths(spec: ModelSpec, predicted: Sequence[NDArray[Any]]) -> NDArray[np.int64] | None:
    """Return how many entries each example has, where it has one for each of its tokens."""
    each = spec.task.has_token_logits and predicted[0].dtype.names is None
    return np.array([len(row) for row in predicted], np.int64) if each else None


def _calibration(spec: ModelSpec, parts: Sequence[PartialEvaluation]) -> CalibrationError | None:
    bins = [part.bins for part in parts if part.bins is not None]
    if not bins:
        return None
    raw, calibrated = np.sum(bins, axis=0)
    return CalibrationError(
        raw=calibration_error(raw),
        calibrated=calibration_error(calibrated),
        temperature=spec.rule.temperature,
    )
