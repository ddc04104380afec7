"""What a variant costs on labelled data, and whether that is too much."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertedge import evaluation
from bertedge.bundle import Accuracy
from bertedge.checkpoint import Checkpoint
from bertedge.checkpoint.recorded import open_recorded
from bertedge.data import Columns, ExampleFile, open_examples
from bertedge.data.labels import check_known, with_label_map
from bertedge.errors import DataError, VerificationError
from bertedge.evaluation import Evaluation
from bertedge.export.config import ExportConfig
from bertedge.export.parity_inputs import SENTENCES
from bertedge.export.significance import is_significant
from bertedge.metrics import FrameScores
from bertedge.runtime.encoding import Batch
from bertedge.runtime.engine import Engine
from bertedge.spec import LabelKind, Task

COSINE = "cosine"
"""What is measured of embeddings of texts that nothing else is known of."""
FEW_ROWS = 200
"""With fewer, one row more or less is half a point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalData:
    """The labelled file that variants are measured on, or why there is none."""

    examples: ExampleFile | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceEvaluation:
    """The checkpoint's own labels on the data."""

    examples: ExampleFile
    sha256: str
    result: Evaluation
    logits: NDArray[np.float32] | None
    """`(rows, labels)`, a row a text or a token, in the order of `Recorder`; None where a
    variant's cannot be put beside them."""


class Recorder:
    """An engine that keeps its logits: all engines are asked the same batches in one order.

    Where labels are words it keeps none: they are too many.
    """

    def __init__(self, engine: Engine, *, kept: bool = True) -> None:
        self._engine = engine
        self._kept: list[NDArray[np.float32]] | None = [] if kept else None

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Answer a batch and keep what is not padding."""
        logits = self._engine.logits(batch)
        if self._kept is not None:
            tokens = logits.ndim == 3
            self._kept.append(logits[batch.attention_mask.astype(bool)] if tokens else logits)
        return logits

    def all(self) -> NDArray[np.float32] | None:
        """Return all logits so far, `(rows, labels)`; None where none were kept."""
        return np.concatenate(self._kept) if self._kept else None


def find_eval_data(config: ExportConfig, checkpoint: Checkpoint) -> EvalData:
    """Open `--eval-data`, or the dev file of the training where it is there and unchanged."""
    training = checkpoint.training
    if config.eval_data is not None:
        known = checkpoint.model.pair or (False if training else None)
        pair = True if config.pair or config.columns.pair is not None else known
        examples = open_examples(
            config.eval_data,
            checkpoint.model.task,
            config.columns,
            problem_type=checkpoint.model.rule.problem_type,
            pair=pair,
            trained=training.train.columns if training else Columns(),
        )
        examples = with_label_map(examples, config.label_map)
        examples = check_known(examples, checkpoint.model.labels, checkpoint.model.rule)
        return EvalData(examples=examples, note=f"{examples.path}: {examples.description}")
    if training is None or training.dev is None:
        return _none("this checkpoint records no dev file")
    try:
        path = training.dev.locate(checkpoint.folder)
    except DataError as error:
        return _none(f"the dev file of the training cannot be used ({error})")
    examples = open_recorded(checkpoint, training.dev, path)
    what = "the dev file" if training.dev.part is None else "the rows held out"
    return EvalData(examples=examples, note=f"{path}, {what} of the training")


def own_texts(folder: Path) -> EvalData:
    """Write bertedge's own sentences to `folder`, to compare embeddings on."""
    path = folder / "built-in.txt"
    path.write_text("\n".join(SENTENCES), encoding="utf-8")
    return EvalData(
        examples=open_examples(path, Task.of(LabelKind.VECTOR)),
        note="embeddings are compared on a few sentences of bertedge's own; give --eval-data FILE, "
        "with texts like yours (.txt) or pairs of texts with a value",
    )


def compare(evaluated: ReferenceEvaluation, variant: Evaluation) -> Accuracy:
    """Compare a variant's labels, or embeddings, with the checkpoint's."""
    before, after = evaluated.result.scores, variant.scores
    same = evaluation.compare_predictions(evaluated.result, variant)
    return Accuracy(
        data=evaluated.examples.path.name,
        sha256=evaluated.sha256,
        rows=variant.rows,
        metric=before.metric if before else COSINE,
        checkpoint=before.value if before else 1.0,
        variant=after.value if after else same.value,
        agreement=same.value,
        calibration=variant.calibration,
        significant=is_significant(evaluated.result, variant),
        entities=None if same.words is None or isinstance(after, FrameScores) else same.count,
        text_agreement=same.texts,
        word_agreement=same.words,
    )


def drop(accuracy: Accuracy) -> float:
    """Return the points of the metric that the variant lost (negative: gained)."""
    return 100 * (accuracy.checkpoint - accuracy.variant)


def exceeds(accuracy: Accuracy, max_drop: float) -> bool:
    """Return whether the variant lost more than `max_drop` points, and more than by chance.

    Chance excuses no missing gain, which a `max_drop` below 0 asks for.
    """
    by_chance = max_drop >= 0 and accuracy.significant is False
    return drop(accuracy) > max_drop and not by_chance


def check_drop(name: str, accuracy: Accuracy, max_drop: float) -> None:
    """Raise VerificationError where the variant lost too much; see `exceeds`."""
    if not exceeds(accuracy, max_drop):
        return
    remedies = [f"allow it with --max-drop {drop(accuracy) + 0.05:.1f}"]
    if accuracy.rows < FEW_ROWS:
        remedies.append(f"measure on more than these {accuracy.rows} rows with --eval-data")
    raise VerificationError(
        f"{name} loses {drop(accuracy):.2f} points of {accuracy.metric} on {accuracy.data}: "
        f"{accuracy.variant:.4f} against the checkpoint's {accuracy.checkpoint:.4f} (agreement "
        f"{accuracy.agreement:.2%}), --max-drop is {max_drop:g}; {', or '.join(remedies)}"
    )


def _none(why: str) -> EvalData:
    return EvalData(
        examples=None, note=f"{why}: accuracy was not measured; give --eval-data FILE to do so"
    )
