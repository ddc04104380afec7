"""What a report is to say, and of what."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.checkpoint.out_of_fold import OutOfFold
from bertedge.data import ExampleFile
from bertedge.model import TextModel
from bertedge.report.learning_curve import Share

Embed = Callable[[Sequence[str]], NDArray[np.floating[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A model, and what the report calls it."""

    name: str
    variant: str
    model: TextModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportConfig:
    """What a report is made of, and what it is to say beside what it always says."""

    slice_by: tuple[str, ...] = ()
    """Columns of the file whose values cut it."""
    slice_words: tuple[str, ...] = ()
    """Words whose presence cuts it."""
    fairness_by: tuple[str, ...] = ()
    """Columns of the file that name groups of people or of sources."""
    robustness: bool = True
    """Whether changed texts are predicted too, which takes as long as up to five times 2,000."""
    seed: int = 0
    """Of the changes and of the texts that they are made to."""
    train: ExampleFile | None = None
    """The file that the model was trained on."""
    is_train: bool = False
    """Whether the data are that file: then its labels were seen."""
    out_of_fold: OutOfFold | None = None
    """Of that file: what models that had not seen a row said of it, where it was trained in folds;
    read where the data are that file."""
    curves: Path | None = None
    """`training.csv` of the training."""
    learn: Callable[[], Iterable[Share]] | None = None
    """Trains on shares of the training rows, `train_rows`, and scores them on the data."""
    train_rows: int = 0
    other: Named | None = None
    """A model to compare with."""
    embed: Embed | None = None
    """Embeds texts, for the search of wrong labels."""
    command: str = ""
    """For the record."""
