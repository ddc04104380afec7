"""The labelled files of a fine-tuning run, read and checked without torch: that takes seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.data import ExampleFile, open_examples
from bertedge.data.duplicates import Digests, duplicates, in_both
from bertedge.data.label_map import read_label_map
from bertedge.data.labels import survey, with_label_map
from bertedge.data.split import Split, split
from bertedge.data.task import guess_task
from bertedge.data.unlabelled import leave_out_known, open_unlabelled
from bertedge.errors import SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.label_counts import count_labels, few_rows, label_table
from bertedge.finetune.labels import check_labels, hints, settle_labels
from bertedge.progress import SILENT, Progress
from bertedge.spec import LabelKind, ProblemType
from bertedge.training.config_file import check_given, merge, read

if TYPE_CHECKING:
    from bertedge.finetune.old_task import OldTask

_START = ("model", "teacher")
DEV_SHARE = 0.1
"""Of a training file without dev data."""
FEW_ROWS = 1000
"""A search cross-validates fewer."""
LEAST_DEV_ROWS = 20
"""Of fewer, one row is more than 5 points: they tell no epoch from another, and are missed in
training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The labelled files, and the labels that a model will learn."""

    train: ExampleFile
    dev: ExampleFile | None
    labels: tuple[str, ...]
    hints: tuple[str, ...]
    """What may be wrong with them, a line each."""
    table: tuple[str, ...] = ()
    """How many rows each label has, for people."""
    old: "OldTask | None" = None
    """What the model was trained on before, where that is replayed."""
    unlabelled: ExampleFile | None = None
    """Texts that a model is to label; none of them is in the other files."""


def read_config(
    path: Path | None, flags: Mapping[str, object], progress: Progress = SILENT
) -> FinetuneConfig:
    """Return the config of a TOML file and flags (None: not given), which win.

    A task that neither names is told by the training file, which is said to `progress`. Raises
    SettingError as `merge` and `read` do.
    """
    return settle_config(merge(FinetuneConfig, path, flags), progress)


def settle_config(table: dict[str, object], progress: Progress = SILENT) -> FinetuneConfig:
    """Return the config of a table, as `read_config` does."""
    check_given(FinetuneConfig, {"task": None, **table}, either=_START)
    train, told, encoding = (table.get(name) for name in ("train", "format", "encoding"))
    if table.get("task") is None and isinstance(train, str | Path):
        task = guess_task(
            Path(train),
            told if isinstance(told, str) else None,
            encoding if isinstance(encoding, str) else None,
        )
        progress.say(f"task {task.value}, as {Path(train).name} shows (--task)")
        table["task"] = task
    return read(FinetuneConfig, table, either=_START)


def open_data(config: FinetuneConfig) -> Data:
    """Open the files and read them once; a BertedgeError names each mistake."""
    decision = config.decision()
    train = _open(config, config.train)
    digests, dev_digests = Digests(), Digests()
    rows = survey(train, digests)
    counts = count_labels(rows, config.task)
    notes = [line for what, each in counts.items() for line in few_rows(what, each)]
    notes += hints(rows, decision) + duplicates(digests, _gold(config))
    old = None
    if config.replay is None:
        labels = settle_labels(train, rows, decision)
    else:
        from bertedge.finetune.old_task import open_old_task, unite_labels  # which bring torch

        old = open_old_task(config, pair=train.pair)
        known = old.checkpoint.model.labels
        rows.counts.update(dict.fromkeys(known, 0))  # with them even one new label is enough
        labels = unite_labels(known, settle_labels(train, rows, decision))
    dev = None
    if config.dev:
        opened = _open(config, config.dev, pair=train.pair)
        dev = check_labels(opened, labels, decision, dev_digests)
        notes += in_both(digests, dev_digests, dev.path.name)
    elif config.folds or _few_are_searched(config, rows.rows):
        if config.out_of_scope is not None:
            check_labels(train, labels, decision)
    elif config.holds_out:
        halves, note = _hold_out(config, train, rows.rows)
        notes.insert(0, note)
        if halves is not None:
            train = halves.train
            dev = check_labels(halves.held_out, labels, decision)
    table = [line for what, each in counts.items() for line in label_table(what, each, rows.rows)]
    found = Data(train=train, dev=dev, labels=labels, hints=tuple(notes), table=tuple(table))
    return replace(found, old=old, unlabelled=_unlabelled(config, train, dev))


def _unlabelled(
    config: FinetuneConfig, train: ExampleFile, dev: ExampleFile | None
) -> ExampleFile | None:
    if config.unlabelled is None:
        return None
    texts = open_unlabelled(config.unlabelled, train, config.encoding)
    return leave_out_known(texts, [train] if dev is None else [train, dev])


def _gold(config: FinetuneConfig) -> str:
    """Return what people call that which is right of a text."""
    if config.problem_type is ProblemType.REGRESSION:
        return "values"
    if config.task.labels_are is LabelKind.SPANS:
        return "answers"
    return "tags" if config.task.tags_words else "labels"


def _few_are_searched(config: FinetuneConfig, rows: int) -> bool:
    """Return whether a search cross-validates, as a share of its rows would be too small."""
    return config.auto and config.holds_out and config.dev_share is None and rows < FEW_ROWS


def _hold_out(config: FinetuneConfig, train: ExampleFile, rows: int) -> tuple[Split | None, str]:
    """Return the two sides of the training file, if it is held out from, and a line about that.

    SettingError where dev data are needed, and there are none.
    """
    share, found = config.dev_share, None
    if share is not None or rows * DEV_SHARE >= LEAST_DEV_ROWS:
        found = split(train, share or DEV_SHARE, config.seed)
        why = "no text can be held out as dev data: one label has them all, or all are the same"
    else:
        why = f"{rows:,} rows are too few to hold some out as dev data"
    if found is not None:
        return found, (
            f"held out {found.held_out_rows:,} of {rows:,} rows as dev data (--dev-share 0 trains "
            "on all)"
        )
    needed = config.calibrate or config.out_of_scope is not None or config.unlabelled is not None
    if share is not None or needed:
        more = "" if share is not None else ", or --dev-share X"
        raise SettingError(f"{train.path}: {why}; give --dev FILE{more}")
    return None, f"{why} (--dev FILE, or --dev-share X)"


def _open(config: FinetuneConfig, path: Path, pair: bool | None = None) -> ExampleFile:
    examples = open_examples(
        path, config.task, config.columns(), problem_type=config.problem_type, pair=pair
    )
    return with_label_map(examples, read_label_map(config.label_map) if config.label_map else {})
