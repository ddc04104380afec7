"""Cross-validation: a model for each fold of the training file, scored on the rows it has not seen.

The rows' outputs out of fold also choose what dev data would: thresholds and a temperature.
"""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import transformers
from numpy.typing import NDArray

from bertedge import evaluation, serialization
from bertedge.checkpoint import CrossValidation, Fold
from bertedge.checkpoint.out_of_fold import OutOfFold, write_out_of_fold
from bertedge.data.folds import assign_folds, select_rows
from bertedge.finetune import training
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.inputs import Inputs
from bertedge.finetune.judging import collect_outputs
from bertedge.finetune.part_progress import PartProgress
from bertedge.finetune.preparation import Prepared, load_material, model_spec, prepare
from bertedge.finetune.thresholds import FittedRule, fit_rule
from bertedge.outputs import remove
from bertedge.progress import SILENT, Progress
from bertedge.spec import DecisionRule, LabelKind, ModelSpec
from bertedge.tasks import trainable_task
from bertedge.tasks.contract import Outputs
from bertedge.tasks.text_classification import probabilities
from bertedge.training.curves import logging_in
from bertedge.training.seal import fault_of, seal

RESULT, OUTPUTS = "fold.json", "outputs.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldData:
    """The rows of a fold, and the data of its training: they are the dev data."""

    rows: NDArray[np.int64]
    """Numbers of the file's examples, from 0."""
    prepared: Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRun:
    """How the training of a fold went."""

    score: float
    """The dev metric of the best epoch, as training scores it."""
    epochs: float
    best_epoch: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidated:
    """All rows of the training file, each predicted by a model that has not seen it."""

    record: CrossValidation
    fitted: FittedRule
    outputs: Outputs
    """Fold by fold."""
    rows: tuple[NDArray[np.int64], ...]
    """Of each fold, the numbers of its examples in the file."""


def open_folds(config: FinetuneConfig, inputs: Inputs, count: int, folder: Path) -> list[FoldData]:
    """Tokenize the training data of each of `count` folds into `folder`."""
    assigned = assign_folds(inputs.train, count, config.seed)
    found = []
    for number in range(count):
        own = assigned == number
        train, dev = (select_rows(inputs.train, side) for side in (~own, own))
        prepared = prepare(replace(inputs, train=train, dev=dev), folder / f"data-{number}")
        found.append(FoldData(rows=np.flatnonzero(own), prepared=prepared))
    return found


def train_fold(
    config: FinetuneConfig,
    data: FoldData,
    folder: Path,
    progress: Progress,
    watchers: Sequence[transformers.TrainerCallback] = (),
) -> FoldRun:
    """Train on the other folds and keep the outputs for this one in `folder`.

    A fold that is finished there is not trained again; one that was interrupted goes on.
    """
    if fault_of(folder) is not None:
        remove(folder / RESULT)
        material = load_material(config, data.prepared, progress)
        trained = training.train(config, material, folder, progress, watchers)
        assert material.graded is not None
        outputs = collect_outputs(material, *material.graded, SILENT)
        best = trained.best_epoch or trained.epochs
        run = FoldRun(
            score=trained.best_score or 0.0,
            epochs=trained.epochs,
            best_epoch=best,
            seconds=round(trained.seconds, 3),
        )
        _save_outputs(folder / OUTPUTS, outputs)
        (folder / RESULT).write_text(serialization.to_json(run), encoding="utf-8")
        seal(folder)
    for state in folder.glob("checkpoint-*"):
        remove(state)
    found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    return serialization.from_plain(FoldRun, found)


def cross_validate(
    config: FinetuneConfig, inputs: Inputs, folder: Path, progress: Progress
) -> CrossValidated:
    """Train and score each fold in `folder`, saying each one's score."""
    count = config.folds or 2
    data = open_folds(config, inputs, count, folder)
    runs = []
    for number, each in enumerate(data):
        name = f"fold {number + 1} of {count}"
        part = PartProgress(progress, name)
        own = logging_in(config, f"fold-{number + 1}")
        runs.append(train_fold(own, each, folder / f"fold-{number}", part))
        metric = trainable_task(config.task).metric(config.decision())
        progress.say(
            f"{name}: {metric} {runs[-1].score:.4f} on {len(each.rows):,} rows, best epoch "
            f"{runs[-1].best_epoch:.3g} of {runs[-1].epochs:.3g}"
        )
    return join_folds(config, data, runs, [folder / f"fold-{i}" for i in range(count)])


def join_folds(
    config: FinetuneConfig,
    data: Sequence[FoldData],
    runs: Sequence[FoldRun],
    folders: Sequence[Path],
) -> CrossValidated:
    """Choose the rule on the outputs of all folds, and score them by it."""
    parts = [_load_outputs(folder / OUTPUTS) for folder in folders]
    joined = Outputs(
        gold=[array for part in parts for array in part.gold],
        answers=[array for part in parts for array in part.answers],
        rows=sum(part.rows for part in parts),
        truncated=sum(part.truncated for part in parts),
    )
    spec = model_spec(config, data[0].prepared.inputs)
    fitted = fit_rule(spec.task, spec.rule, joined, calibrate=config.calibrate)
    whole = evaluation.decide(spec, joined, fitted.rule, seconds=0.0)
    each = [evaluation.decide(spec, part, fitted.rule, seconds=0.0).scores for part in parts]
    values = [0.0 if scores is None else scores.value for scores in each]
    assert whole.scores is not None
    record = CrossValidation(
        metric=whole.scores.metric,
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if len(values) > 1 else 0.0,
        epochs=mean_epochs([run.best_epoch for run in runs]),
        scores=whole.scores,
        folds=tuple(
            Fold(
                rows=len(own.rows),
                score=value,
                epochs=run.epochs,
                best_epoch=run.best_epoch,
                seconds=run.seconds,
            )
            for own, run, value in zip(data, runs, values, strict=True)
        ),
    )
    rows = tuple(own.rows for own in data)
    return CrossValidated(record=record, fitted=fitted, outputs=joined, rows=rows)


def mean_epochs(best: Sequence[float]) -> float:
    """Return the mean of the folds' best epochs, a whole number where they have one at least."""
    mean = statistics.fmean(best)
    return float(math.floor(mean + 0.5)) if mean >= 1 else mean


def write_folds(folder: Path, found: CrossValidated, spec: ModelSpec) -> None:
    """Write `folds.json`; for labels of texts also `folds.npz`, what was predicted out of fold."""
    text = serialization.to_json(found.record)
    (folder / "folds.json").write_text(text, encoding="utf-8")
    if spec.task.labels_are is not LabelKind.CLASSES:
        return
    rows = np.concatenate(found.rows)
    fold = np.repeat(np.arange(len(found.rows)), [len(own) for own in found.rows])
    order = np.argsort(rows)
    plain = DecisionRule(problem_type=found.fitted.rule.problem_type)
    scores = probabilities(np.concatenate(found.outputs.answers), plain)
    out_of_fold = OutOfFold(
        row=rows[order],
        fold=fold[order],
        gold=np.concatenate(found.outputs.gold)[order],
        probabilities=scores[order],
        labels=np.array(spec.labels),
    )
    write_out_of_fold(folder, out_of_fold)


def _save_outputs(path: Path, outputs: Outputs) -> None:
    """Write outputs; of arrays that differ in length the lengths too."""
    np.savez(
        path,
        gold=np.concatenate(outputs.gold),
        gold_lengths=[len(array) for array in outputs.gold],
        answers=np.concatenate(outputs.answers),
        answers_lengths=[len(array) for array in outputs.answers],
        rows=outputs.rows,
        truncated=outputs.truncated,
    )


def _load_outputs(path: Path) -> Outputs:
    with np.load(path, allow_pickle=False) as found:
        gold, answers = (
            np.split(found[name], np.cumsum(found[f"{name}_lengths"])[:-1])
            for name in ("gold", "answers")
        )
        rows, truncated = int(found["rows"]), int(found["truncated"])
    return Outputs(gold=gold, answers=answers, rows=rows, truncated=truncated)
