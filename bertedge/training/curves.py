"""The curves of a training run: a CSV beside the weights, and TensorBoard's files on request."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from bertedge.errors import MissingExtraError, SettingError
from bertedge.training.config import TrainingConfig

T = TypeVar("T", bound=TrainingConfig)

CURVES = "training.csv"

_FIRST, _LAST = ("step", "epoch", "loss", "learning_rate", "grad_norm"), "seconds"
_TIMES = ("_runtime", "_per_second", "_preparation_time")
_DEV = "eval_"
"""What Trainer puts before the names of dev metrics; ours begin with `dev_`."""


def render_curves(history: Iterable[Mapping[str, Any]]) -> str:
    """Return Trainer's log as CSV: a row for each step that has a loss or a dev metric.

    The loss is the mean over the steps since the row before. Trainer saves its log in each state
    and goes back to it on resuming, so no row is lost and none is there twice.
    """
    rows: dict[int, dict[str, float]] = {}
    for entry in history:
        values = {
            f"dev_{name.removeprefix(_DEV)}" if name.startswith(_DEV) else name: value
            for name, value in entry.items()
            if isinstance(value, int | float) and not name.endswith(_TIMES)
        }
        if "loss" in values or any(name.startswith("dev_") for name in values):
            rows.setdefault(int(values["step"]), {}).update(values)
    names = dict.fromkeys(name for row in rows.values() for name in row)
    others = sorted(names.keys() - {*_FIRST, _LAST})
    text = io.StringIO()
    table = csv.DictWriter(text, [*_FIRST, *others, _LAST], lineterminator="\n")
    table.writeheader()
    table.writerows(row for _, row in sorted(rows.items()))
    return text.getvalue()


def check_log_dir(log_dir: Path | None, output: Path) -> None:
    """Raise MissingExtraError where TensorBoard is asked for and not installed.

    SettingError for a `log_dir` in the output, which appears only when it is finished.
    """
    if log_dir is None:
        return
    if find_spec("tensorboard") is None:
        raise MissingExtraError("tensorboard", "tensorboard")
    if log_dir.resolve().is_relative_to(output.resolve()):
        raise SettingError(f"log_dir is {log_dir}, in the output {output}; choose another one")


def logging_in(config: T, name: str) -> T:
    """Return a config whose TensorBoard files, if it has any, go into a subfolder `name`."""
    return config if config.log_dir is None else replace(config, log_dir=config.log_dir / name)


def tensorboard_callbacks(log_dir: Path | None, step: int) -> list[Any]:
    """Return Trainer's own callback for TensorBoard, for a run that goes on after `step`.

    TensorBoard hides what an earlier or interrupted run has written there of later steps.
    """
    if log_dir is None:
        return []
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    return [TensorBoardCallback(SummaryWriter(str(log_dir), purge_step=step + 1))]
