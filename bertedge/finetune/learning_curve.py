"""Models of an eighth, a quarter and half of a training file, beside a finished checkpoint.

The rows are nested, each label in its share. What was chosen by the data is chosen anew for the
fewer rows; what was given to the checkpoint's training stays, but that few epochs become the usual
ones: with the few steps that they are of few rows the curve would be steeper than it is.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bertedge import serialization
from bertedge.checkpoint import (
    TRAINING,
    Checkpoint,
    TorchEngine,
    Training,
    load_model,
    open_checkpoint,
)
from bertedge.checkpoint.files import shown
from bertedge.checkpoint.folder import WELL_KNOWN
from bertedge.checkpoint.recorded import open_recorded
from bertedge.data import ExampleFile, hash_examples
from bertedge.data.folds import assign_folds, select_rows
from bertedge.errors import CheckpointError, DataError, OutputError, SettingError, StoppedError
from bertedge.evaluation import TextModel, evaluate
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import Data
from bertedge.finetune.defaults import Hyperparameters
from bertedge.finetune.inputs import Inputs, open_inputs
from bertedge.finetune.part_progress import PartProgress
from bertedge.finetune.preparation import prepare, settle
from bertedge.finetune.run import finetune
from bertedge.outputs import created_parents
from bertedge.progress import Progress
from bertedge.report.learning_curve import Share
from bertedge.spec import ProblemType
from bertedge.training.seal import write_synced
from bertedge.training.third_party import quiet_libraries

PARTS, TAKEN = 8, (1, 2, 4)
"""The rows are dealt to so many parts, of which so many are trained on."""
FEWEST = 80
"""Rows; an eighth of fewer says nothing."""
SETTINGS = "settings.json"
_OTHERWISE = {"auto", "minutes", "folds", "teacher", "calibrate", "log_dir"}
"""Settings that the shares are trained without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the shares are trained with; everything is checked."""

    checkpoint: Checkpoint
    config: FinetuneConfig
    """Of the checkpoint's own training; the output is the folder of all shares."""
    train: ExampleFile
    inputs: Inputs


def plan_shares(
    name: str, folder: Path, base: str | None = None, train_file: Path | None = None
) -> Plan:
    """Check that the training of the checkpoint `name` can be done again, and claim `folder`.

    `base` and `train_file` say where those of the training lie now.
    Raises CheckpointError for a checkpoint without a record and a base that is not here, DataError
    for files that are gone or changed and for too few rows, SettingError for what is not trained
    again, OutputError for a folder of something else.
    """
    checkpoint = open_checkpoint(name)
    record = checkpoint.training
    if record is None:
        raise CheckpointError(
            f"{shown(name)} has no {TRAINING}, which says how it was trained; a learning curve is "
            "for checkpoints of finetune"
        )
    _check_repeatable(checkpoint, record)
    path = train_file or record.train.locate(checkpoint.folder)
    if hash_examples(path) != record.train.sha256:
        raise DataError(
            f"{path} is not the file that {shown(name)} was trained on; a learning curve is of that"
        )
    train = open_recorded(checkpoint, record.train, path)
    if record.train.rows < FEWEST:
        raise DataError(
            f"{path} has {record.train.rows} rows; a learning curve needs {FEWEST} or more"
        )
    dev = None
    if record.dev is not None:
        dev = open_recorded(checkpoint, record.dev, record.dev.locate(checkpoint.folder))
    settings: dict[str, Any] = {
        each.name: record.settings[each.name]
        for each in fields(FinetuneConfig)
        if each.name in record.settings and each.name not in _OTHERWISE
    }
    config = FinetuneConfig(
        **settings
        | {
            "task": checkpoint.model.task,
            "train": path,
            "dev": dev.path if dev and dev.part is None else None,
            "model": base or _find_base(checkpoint, record),
            "max_length": checkpoint.model.max_length,
            "output": folder,
        }
    )
    with quiet_libraries():
        data = Data(train=train, dev=dev, labels=checkpoint.model.labels, hints=())
        inputs = open_inputs(config, data)
    _claim(folder, config, record)
    return Plan(checkpoint=checkpoint, config=config, train=train, inputs=inputs)


def train_shares(plan: Plan, examples: ExampleFile, progress: Progress) -> Iterator[Share]:
    """Train on each share and score it on `examples`; a share that is finished is only scored.

    Raises StoppedError after Ctrl-C: the next call goes on there.
    """
    config = _left_open(plan)
    part = assign_folds(plan.train, PARTS, config.seed)
    for taken in TAKEN:
        chosen = part < taken
        count = int(chosen.sum())
        name = f"{taken} of {PARTS} parts of the rows"
        output = config.output / f"rows-{count}"
        if not (output / TRAINING).is_file():
            data = Data(
                train=select_rows(plan.train, chosen), dev=plan.inputs.dev,
                labels=plan.inputs.labels, hints=(),
            )  # fmt: skip
            own = replace(config, output=output)
            try:
                finetune(own, PartProgress(progress, name), resume=True, data=data)
            except StoppedError:
                raise StoppedError(
                    "interrupted, and the state is saved: the same command goes on there"
                ) from None
        model = _open(output, examples, config)
        found = evaluate(model, examples, PartProgress(progress, name))
        assert found.scores is not None and found.per_text is not None
        progress.say(f"trained on {count:,} rows: {found.scores.metric} {found.scores.value:.4f}")
        yield Share(rows=count, per_text=found.per_text)


def _open(folder: Path, examples: ExampleFile, config: FinetuneConfig) -> TextModel:
    checkpoint = open_checkpoint(str(folder), config.task)
    engine = TorchEngine(load_model(checkpoint), device="auto")
    return TextModel.of(checkpoint.model, checkpoint.tokenizer_json, engine)


def _check_repeatable(checkpoint: Checkpoint, record: Training) -> None:
    """Raise SettingError for a training of which other models or files were a part."""
    name = shown(checkpoint.name)
    if record.settings.get("teacher"):
        raise SettingError(
            f"{name} was distilled; a learning curve trains on labels alone: give its teacher"
        )
    if record.replay is not None:
        raise SettingError(
            f"{name} was trained on from another checkpoint; a learning curve is for one training"
        )
    rule = checkpoint.model.rule
    several = rule.problem_type is ProblemType.MULTI_LABEL or rule.out_of_scope is not None
    if record.dev is None and record.cross_validation is not None and several:
        raise SettingError(
            f"the thresholds of {name} were chosen by folds; a learning curve needs dev data for "
            "them: train with --dev"
        )


def _find_base(checkpoint: Checkpoint, record: Training) -> str:
    name = record.base
    for place in (Path(name), checkpoint.folder.parent / name):
        if place.is_dir():
            return str(place)
    if "/" in name or name in WELL_KNOWN:
        return name
    raise CheckpointError(
        f"{shown(name)}, the base that {shown(checkpoint.name)} was trained from, is not here; "
        "give --base DIR"
    )


def _claim(folder: Path, config: FinetuneConfig, record: Training) -> None:
    """Note in a new folder whose shares are in it; OutputError for one of something else."""
    plain = serialization.to_plain(replace(config, output=Path(folder.name)))
    kept = {"settings": plain, "train": record.train.sha256, "created": record.created}
    path = folder / SETTINGS
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != json.loads(json.dumps(kept)):
            raise OutputError(f"{folder} has the shares of another training; give another folder")
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} is there, and no learning curve's folder; give a new one")
    with created_parents(folder):
        folder.mkdir(exist_ok=True)
    write_synced(path, serialization.to_json(kept))


def _left_open(plan: Plan) -> FinetuneConfig:
    """Return the config without what the data chose for all rows: fewer ask for something else.

    That is what has the value which it would have had if nothing had been given.
    """
    config = plan.config
    own = {each.name for each in fields(FinetuneConfig)}
    names = [each.name for each in fields(Hyperparameters) if each.name in own]
    silent = replace(config, **_unset(names))
    with tempfile.TemporaryDirectory() as folder, quiet_libraries():
        chosen = settle(silent, prepare(plan.inputs, Path(folder), cached=config.cache))
    same = [name for name in names if getattr(chosen, name) == getattr(config, name)]
    if (config.epochs or 0) <= chosen.epochs:  # those of few rows would be few steps
        same += ["epochs", "early_stopping_patience"]
    return replace(config, **_unset(same))


def _unset(names: Iterable[str]) -> dict[str, Any]:
    return dict.fromkeys(names)
