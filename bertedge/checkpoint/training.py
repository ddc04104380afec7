"""`training.json`: what `finetune` records beside the weights."""

from dataclasses import dataclass
from pathlib import Path

from bertedge import records
from bertedge.checkpoint.files import read_json, shown
from bertedge.confidence import CalibrationError
from bertedge.errors import CheckpointError, first_line
from bertedge.examples import Columns
from bertedge.metrics import AnyScores
from bertedge.tasks import Decision, Task

TRAINING = "training.json"

Setting = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A labelled file that a checkpoint was trained or chosen on."""

    path: str
    """As the user gave it, made absolute."""
    sha256: str
    rows: int
    columns: Columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """`training.json`: what `finetune` records beside the weights."""

    task: Task
    labels: tuple[str, ...]
    pair: bool
    max_length: int
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
    decision: Decision = Decision()  # noqa: RUF009 (frozen)
    """How the logits of a text become its prediction; its numbers were chosen on the dev data."""
    calibration: CalibrationError | None = None
    """On the dev data, at the temperature that fits it best, whether `decision` takes it or not;
    None for tokens and values."""


def read_training(folder: Path) -> Training | None:
    """Read what is there; None where nothing is, CheckpointError where it is damaged."""
    path = folder / TRAINING
    if not path.exists():
        return None
    data = read_json(path)
    try:
        return records.from_plain(Training, data)
    except ValueError as error:
        raise CheckpointError(
            f"{shown(path)} is damaged ({first_line(error)}); remove it to use the checkpoint "
            "without it"
        ) from error
