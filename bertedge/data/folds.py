"""A labelled file in stratified folds: no text is in two of them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bertedge.data.files import ExampleFile
from bertedge.data.split import index_rows, rarest_label
from bertedge.errors import DataError


def assign_folds(examples: ExampleFile, folds: int, seed: int) -> NDArray[np.int64]:
    """Return which of `folds` each row is in `(rows,)`; each label is spread over them evenly.

    Rows with the same text stay together, as do all questions about one context; a row with
    several labels counts for its rarest. Texts are dealt like cards, one label after the other, so
    no two folds differ by more than one text. Raises DataError where there are too few.
    """
    index = index_rows(examples, seed)
    keys = np.frombuffer(index.keys, np.uint64)
    _, first, group, size = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    if len(first) < folds:
        raise DataError(
            f"{examples.path} has {len(first)} different texts, too few for {folds} folds; give "
            f"--folds {max(2, len(first))} or less, or more rows"
        )
    labelled, labels = (np.frombuffer(each, np.int64) for each in (index.labelled, index.labels))
    stratum = rarest_label(len(keys), labelled, labels)[first]
    order = np.lexsort((-size, stratum))  # those of one size stay sorted by their hashes
    dealt = np.empty(len(first), np.int64)
    dealt[order] = np.arange(len(first)) % folds
    return np.asarray(dealt[group])


def select_rows(examples: ExampleFile, chosen: NDArray[np.bool_]) -> ExampleFile:
    """Return the rows of a file, or of a side of it, for which `chosen` `(rows,)` holds."""
    if examples.rows is not None:
        whole = np.frombuffer(examples.rows, np.bool_).copy()
        whole[whole] = chosen
        chosen = whole
    return replace(examples, rows=chosen.tobytes(), part=None, findings="")
