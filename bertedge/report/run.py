"""All sections of a report, one after the other."""

import csv
import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertedge.checkpoint.out_of_fold import OutOfFold
from bertedge.data import Example, ExampleFile
from bertedge.data.lines import read_lines
from bertedge.evaluation.wrong import texts_of
from bertedge.metrics.calibration import bin_scores
from bertedge.progress import Progress, Silent
from bertedge.report import label_errors, slices
from bertedge.report.config import Named, ReportConfig
from bertedge.report.intervals import difference, interval
from bertedge.report.learning_curve import Share, learning_curve
from bertedge.report.record import (
    SCHEMA,
    Bin,
    Comparison,
    Curve,
    Doubt,
    Doubts,
    Duplicates,
    LearningCurve,
    Report,
)
from bertedge.report.rows import MOST_LISTED, Rows, read_rows
from bertedge.tasks.text_classification import label_names
from bertedge.version import __version__

FEWEST_FOR_DOUBTS = 20
"""Rows; of fewer, probabilities say too little."""
MOST_DOUBTS = 200
MOST_CURVES = 6


def report(
    named: Named, examples: ExampleFile, config: ReportConfig, progress: Progress | None = None
) -> Report:
    """Look at a model through a labelled file, from every side that the data allow.

    Raises SettingError for a model of which no row is right or wrong and for columns that are not
    there, DataError as `evaluate` does.
    """
    progress, model = progress or Silent(), named.model
    rows = read_rows(model, examples, progress)
    spec, evaluation = model.spec, rows.evaluation
    assert evaluation.scores is not None  # of what is judged there are
    cuts = [slices.by_length(rows)]
    cuts += [slices.by_column(rows, examples, name) for name in config.slice_by]
    cuts += [slices.by_word(rows, word) for word in config.slice_words]
    fairness = [
        slices.by_column(rows, examples, name, compared=True) for name in config.fairness_by
    ]
    worst = rows.worst()
    single = rows.gold is not None
    constant = evaluation.baseline if single else None
    return Report(
        schema=SCHEMA,
        model=named.name,
        variant=named.variant,
        data=examples.path.name,
        task=str(spec.task),
        columns=spec.input_shape.keys,
        rows=evaluation.rows,
        metric=rows.metric,
        value=interval(rows.per_text, rows.metric),
        commonest=constant.answer if constant else None,
        always_commonest=constant.value if constant else None,
        answered=len({each.predicted for each in rows.judged}) if single else None,
        scores=evaluation.scores,
        calibration=evaluation.calibration,
        bins=_bins(rows),
        truncated=evaluation.truncated,
        max_length=spec.max_length,
        wrong=len(worst),
        errors=tuple(rows.row(i) for i in worst[:MOST_LISTED]),
        slicings=tuple(cuts),
        robustness=(
            slices.robustness(model, rows, examples, config.seed, progress)
            if config.robustness
            else None
        ),
        fairness=tuple(fairness),
        duplicates=_duplicates(rows, config),
        doubts=_doubts(rows, label_names(spec.labels, spec.rule), config) if single else None,
        curves=read_curves(config.curves) if config.curves else (),
        comparison=_compare(rows, config.other, examples, progress) if config.other else None,
        learning_curve=_learn(rows, config),
        command=config.command,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        version=__version__,
    )


def read_curves(path: Path) -> tuple[Curve, ...]:
    """Read the columns of `training.csv` that are worth a curve: losses, dev metrics, the rate."""
    table = list(csv.DictReader(line for _, line in read_lines(path, None)))
    names = [name for name in (table[0] if table else {}) if name]
    wanted = [name for name in names if name in ("loss", "learning_rate") or name[:4] == "dev_"]
    found = []
    for name in wanted[:MOST_CURVES]:
        points = [(int(float(row["step"])), float(row[name])) for row in table if row[name]]
        if len(points) > 1:
            steps, values = zip(*points, strict=True)
            found.append(Curve(name=name, steps=steps, values=values))
    return tuple(found)


def _learn(rows: Rows, config: ReportConfig) -> LearningCurve | None:
    if config.learn is None:
        return None
    own = Share(rows=config.train_rows, per_text=rows.per_text)
    return learning_curve([*config.learn(), own], rows.metric)


def _bins(rows: Rows) -> tuple[Bin, ...]:
    """Bin the scores of best labels by confidence, where texts have one label each."""
    if rows.gold is None or rows.scores is None:
        return ()
    known = rows.gold < rows.scores.shape[1]
    right = (rows.scores.argmax(axis=1) == rows.gold)[known]
    counts, sums, hits = bin_scores(rows.scores.max(axis=1)[known], right)
    width = 1 / len(counts)
    return tuple(
        Bin(
            low=i * width, high=(i + 1) * width, count=int(count), confidence=float(total / count),
            right=float(hit / count),
        )
        for i, (count, total, hit) in enumerate(zip(counts, sums, hits, strict=True))
        if count
    )  # fmt: skip


def _key(example: Example) -> str:
    """Return the texts of an example but for case and spaces."""
    return "\t".join(" ".join(text.casefold().split()) for text in texts_of(example))


def _duplicates(rows: Rows, config: ReportConfig) -> Duplicates:
    keys = [_key(each) for each in rows.examples]
    gold: dict[str, set[str]] = {}
    for key, example, found in zip(keys, rows.examples, rows.judged, strict=True):
        gold.setdefault(key, set()).add(" ".join(example.names) or found.gold)
    train = None
    if config.train is not None and not config.is_train:
        wanted = set(keys)
        train = {key for each in config.train if (key := _key(each)) in wanted}
    fresh = None
    if train:
        new = np.array([key not in train for key in keys], np.bool_)
        fresh = slices.slice_of(rows, "not in the training file", new) if new.any() else None
    return Duplicates(
        repeated=len(keys) - len(gold),
        contradicting=sum(len(gold[key]) > 1 for key in keys),
        train=config.train.path.name if config.train and not config.is_train else None,
        in_train=None if train is None else sum(key in train for key in keys),
        fresh=fresh,
    )


def _doubts(rows: Rows, names: Sequence[str], config: ReportConfig) -> Doubts:
    assert rows.gold is not None and rows.scores is not None
    labels = rows.scores.shape[1]
    known = np.flatnonzero(rows.gold < labels)
    gold = rows.gold[known]
    if len(known) < FEWEST_FOR_DOUBTS or len(np.unique(gold)) < 2:
        return Doubts(source=f"not judged: fewer than {FEWEST_FOR_DOUBTS} rows, or one label",
                      count=None)  # fmt: skip
    if config.embed is not None:
        texts = [texts_of(rows.examples[i]) for i in known]
        parts = [config.embed(list(part)) for part in zip(*texts, strict=True)]
        features = label_errors.join_features(parts)
        found = label_errors.cross_validated(features, gold, labels, config.seed)
        source = "logistic regression on embeddings, cross-validated"
    elif config.is_train and (out_of_fold := _out_of_fold(rows, config.out_of_fold)) is not None:
        found = out_of_fold[known]
        source = "those of the training's folds, whose models have not seen these labels"
    elif config.is_train:
        source = (
            "not judged: the model was trained on these very labels; give --embedder BUNDLE, or "
            "train with --folds"
        )
        return Doubts(source=source, count=None)
    else:
        found, source = rows.scores[known], "the model's own, which has not seen these labels"
    ranked = label_errors.rank_labels(gold, found)
    listed = [
        (rows.row(int(known[i])), names[int(found[i].argmax())], float(ranked.quality[i]))
        for i in ranked.order[: min(ranked.count, MOST_DOUBTS)]
    ]
    return Doubts(
        source=source,
        count=ranked.count,
        listed=tuple(
            Doubt(place=row.place, texts=row.texts, gold=row.gold, likelier=name, quality=quality)
            for row, name, quality in listed
        ),
    )


def _out_of_fold(rows: Rows, found: OutOfFold | None) -> NDArray[np.float32] | None:
    """Return the probabilities `(rows, labels)` out of fold, if they are of these rows."""
    if found is None or rows.gold is None or not np.array_equal(found.gold, rows.gold):
        return None
    return found.probabilities


def _compare(rows: Rows, other: Named, examples: ExampleFile, progress: Progress) -> Comparison:
    found = read_rows(other.model, examples, progress)
    pairs = list(zip(rows.judged, found.judged, strict=True))
    lost = [i for i, (own, its) in enumerate(pairs) if own.wrong and not its.wrong]
    lost.sort(key=lambda i: -rows.judged[i].score)
    value = interval(found.per_text, found.metric).value
    return Comparison(
        name=f"{other.name} ({other.variant})",
        value=value,
        change=difference(found.per_text, rows.per_text, rows.metric),
        same=float(np.mean([own.predicted == its.predicted for own, its in pairs])),
        only_model=sum(its.wrong and not own.wrong for own, its in pairs),
        only_other=len(lost),
        changed=tuple(rows.row(i) for i in lost[:50]),
    )
