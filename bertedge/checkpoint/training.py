"""`training.json`: what `finetune` records beside the weights."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from bertedge import serialization
from bertedge.checkpoint.files import read_json, shown
from bertedge.data import Columns, Part, hash_examples
from bertedge.errors import CheckpointError, DataError, first_line
from bertedge.metrics import AnyScores
from bertedge.metrics.baseline import Baseline
from bertedge.metrics.calibration import CalibrationError
from bertedge.spec import ModelSpec, Task

TRAINING = "training.json"

Setting = str | int | float | bool | tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A labelled file that a checkpoint was trained or chosen on."""

    path: str
    """From the checkpoint's directory to the file, with `/`; the name alone of one in a home that
    the checkpoint does not lie in. Older records hold an absolute path."""
    sha256: str
    rows: int
    columns: Columns
    label_map: dict[str, str] = field(default_factory=dict)
    """What labels of the file are called in the model, where that is not the same."""
    part: Part | None = None
    """Which of its rows; None: all."""

    def locate(self, folder: Path) -> Path:
        """Find the file again, for a checkpoint in `folder`: the first that has its hash.

        That is where it was, in the working directory, or beside the checkpoint. DataError where
        none is there, or is unchanged.
        """
        name = Path(self.path).name
        places = (folder / self.path, Path(name), folder / name, folder.parent / name)
        found = [_shortest(place) for place in places if place.exists()]
        for place in found:
            if hash_examples(place) == self.sha256:
                return place
        if found:
            raise DataError(f"{found[0]} has changed since the training")
        raise DataError(f"{_shortest(places[0])} is not there any more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """A part of the training file, scored by a model that was trained on the others."""

    rows: int
    score: float
    epochs: float
    best_epoch: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidation:
    """What models of the same settings score on rows that they were not trained on."""

    metric: str
    mean: float
    """Of the folds' scores."""
    std: float
    """Their standard deviation, as of a sample."""
    epochs: float
    """How many were best on average: what the model itself was trained for."""
    scores: AnyScores
    """Of all rows, each predicted by the model that has not seen it."""
    folds: tuple[Fold, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetting:
    """What training on of a finished checkpoint cost where it was trained before."""

    metric: str
    before: float
    """Of the old checkpoint."""
    after: float
    rows: int
    data: str
    """Which rows these are; none of them was replayed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTask:
    """A task of several that one encoder was trained for."""

    name: str
    """Of its checkpoint's folder too, which is beside this one's."""
    task: Task
    rows: int
    """Of its training data."""
    steps: int
    """That an epoch has for it."""
    metric: str | None
    score: float | None
    """On its dev data; None without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTraining:
    """What texts brought that a model labelled itself; scores are those of the dev data."""

    metric: str
    before: float
    """Of the model that was trained on the labelled rows alone."""
    after: float | None = None
    """Of the one that was trained on these texts, too; None where none was sure enough."""
    kept: bool = False
    """Whether that is the model that was kept."""
    taken: dict[str, int] = field(default_factory=dict)
    """How many texts of each label, or entities of each type, it was trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """`training.json`: what `finetune` records beside the weights."""

    model: ModelSpec
    """The numbers of its rule were chosen on the dev data."""
    base: str
    train: DataFile
    dev: DataFile | None
    settings: dict[str, Setting]
    seconds: float
    epochs: float
    """How many were run, early stopping counted in."""
    best_epoch: float | None
    truncated: int
    """Training texts longer than `max_length` tokens."""
    dev_scores: AnyScores | None
    versions: dict[str, str]
    created: str
    parameters: int | None = None
    """Numbers that the model has, when it is trained; None in older records."""
    trained_parameters: int | None = None
    """How many of them were trained."""
    trained_layers: tuple[int, ...] = ()
    """At the end of each epoch, where layers are frozen along the run."""
    calibration: CalibrationError | None = None
    """On the dev data, at the temperature that fits it best, whether the rule takes it or not;
    None for tokens and values."""
    cross_validation: CrossValidation | None = None
    dev_baseline: Baseline | None = None
    """What the best constant answer scores on the dev data."""
    replay: DataFile | None = None
    """What the base was trained on before; rows of it were trained on again."""
    forgetting: Forgetting | None = None
    tasks: tuple[SharedTask, ...] = ()
    """All for which the encoder was trained, this one among them, where they are several."""
    unlabelled: DataFile | None = None
    """Texts that a model labelled itself; its rows are those that labels were asked for."""
    self_training: SelfTraining | None = None


def path_from(folder: Path, file: Path) -> str:
    """Return the way from a checkpoint's directory to a file, or its name; see `DataFile.path`."""
    file, folder = Path(os.path.abspath(file)), Path(os.path.abspath(folder))  # noqa: PTH100
    home = Path.home() if "HOME" in os.environ else Path("/nonexistent")
    if file.anchor != folder.anchor or (
        file.is_relative_to(home) and not folder.is_relative_to(home) and home != Path(home.anchor)
    ):
        return file.name
    return Path(os.path.relpath(file, folder)).as_posix()


def _shortest(place: Path) -> Path:
    """Return a path without detours, as seen from the working directory where it lies in that."""
    path, here = Path(os.path.abspath(place)), Path.cwd()  # noqa: PTH100
    return path.relative_to(here) if path.is_relative_to(here) else path


def read_training(folder: Path) -> Training | None:
    """Read what is there; None where nothing is, CheckpointError where it is damaged."""
    path = folder / TRAINING
    if not path.exists():
        return None
    data = read_json(path)
    try:
        return serialization.from_plain(Training, data)
    except ValueError as error:
        raise CheckpointError(
            f"{shown(path)} is damaged ({first_line(error)}); remove it to use the checkpoint "
            "without it"
        ) from error
