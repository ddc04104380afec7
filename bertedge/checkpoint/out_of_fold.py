"""`folds.npz`: what models that had not seen a row of the training file said of it."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.checkpoint.files import shown
from bertedge.errors import CheckpointError

OUT_OF_FOLD = "folds.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfFold:
    """A row of the training file each, in the file's order."""

    row: NDArray[np.int64]
    """From 0."""
    fold: NDArray[np.int64]
    gold: NDArray[Any]
    """A label's number, 0 and 1 of several, or a value."""
    probabilities: NDArray[np.float32]
    """`(rows, labels)`."""
    labels: NDArray[np.str_]


def write_out_of_fold(folder: Path, found: OutOfFold) -> None:
    """Write the file into a checkpoint."""
    np.savez_compressed(
        folder / OUT_OF_FOLD,
        row=found.row,
        fold=found.fold,
        gold=found.gold,
        probabilities=found.probabilities,
        labels=found.labels,
    )


def read_out_of_fold(folder: Path) -> OutOfFold | None:
    """Read what is there; None where nothing is, CheckpointError where it is damaged."""
    path = folder / OUT_OF_FOLD
    if not path.is_file():
        return None
    names = ("row", "fold", "gold", "probabilities", "labels")
    try:
        with np.load(path, allow_pickle=False) as found:
            return OutOfFold(**{name: found[name] for name in names})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{shown(path)} is damaged; remove it to use the checkpoint without it"
        ) from error
