"""A labelled file of which a share is held out: two views of it that no text is in both of."""

import hashlib
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.data.example import Example, Part, QuestionExample, TextExample
from bertedge.data.files import ExampleFile
from bertedge.spec import ProblemType

BINS = 10
"""Of values, which are held out of each alike."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The two sides of a file."""

    train: ExampleFile
    held_out: ExampleFile
    train_rows: int
    held_out_rows: int


@dataclass(slots=True, kw_only=True)
class RowIndex:
    """What tells the rows of a file apart, in 16 bytes a row and label."""

    keys: "array[int]" = field(default_factory=lambda: array("Q"))
    """A hash of each row's text (of questions: of the context), the seed mixed in."""
    labelled: "array[int]" = field(default_factory=lambda: array("q"))
    """The row of each label that a row has."""
    labels: "array[int]" = field(default_factory=lambda: array("q"))
    """The number of that label."""


def split(examples: ExampleFile, share: float, seed: int) -> Split | None:
    """Hold out a share of the rows, of each label alike; None where no row can be held out.

    Rows with the same text stay together, case and spaces aside, as do all questions about one
    context. A row with several labels counts for its rarest. No label loses its last row. Which
    rows are taken depends on their texts, not on their order: a longer file parts its old rows
    nearly as before.
    """
    index = index_rows(examples, seed)
    held = choose_rows(index, share)
    if not held.any():
        return None
    sides = [
        replace(examples, rows=taken.tobytes(), part=Part(held_out=out, share=share, seed=seed))
        for taken, out in ((~held, False), (held, True))
    ]
    return Split(
        train=sides[0],
        held_out=replace(sides[1], findings=""),  # those of the whole file
        train_rows=int((~held).sum()),
        held_out_rows=int(held.sum()),
    )


def side_of(examples: ExampleFile, part: Part | None) -> ExampleFile:
    """Return the rows of a file that `part` names; all of them for None."""
    found = None if part is None else split(examples, part.share, part.seed)
    if part is None or found is None:
        return examples
    return found.held_out if part.held_out else found.train


def index_rows(examples: ExampleFile, seed: int = 0) -> RowIndex:
    """Read a file and keep what tells its rows apart."""
    index, numbers = RowIndex(), dict[Any, int]()
    values = array("d")
    salt = seed.to_bytes(8, "little")
    for row, example in enumerate(examples):
        index.keys.append(hash_text(text_of(example), salt))
        for name in set(_labels(example)):
            index.labelled.append(row)
            index.labels.append(numbers.setdefault(name, len(numbers)))
        if isinstance(example, TextExample) and example.value is not None:
            values.append(example.value)
    if examples.problem_type is ProblemType.REGRESSION and values:
        ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        index.labelled = array("q", range(len(ranks)))
        index.labels = array("q", (ranks * BINS // len(ranks)).tolist())
    return index


def choose_rows(index: RowIndex, share: float) -> NDArray[np.bool_]:
    """Return which rows `(rows,)` are held out."""
    keys = np.frombuffer(index.keys, np.uint64)
    labelled, labels = (np.frombuffer(each, np.int64) for each in (index.labelled, index.labels))
    # Groups of one text; sorted by their hashes they are in no order.
    _, first, group, size = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    stratum = rarest_label(len(keys), labelled, labels)[first]
    taken = _choose_groups(stratum, size, share)
    held = np.asarray(taken[group])
    # The same text may have several labels, and a row too: each label keeps a row to learn from.
    lost = np.bincount(labels[~held[labelled]], minlength=labels.max(initial=-1) + 1) == 0
    taken[group[labelled[lost[labels]]]] = False
    return np.asarray(taken[group])


def text_of(example: Example) -> str:
    """Return the text that makes two rows the same but for case and spaces."""
    if isinstance(example, QuestionExample):
        return example.context
    if isinstance(example, TextExample):
        return example.text if example.pair is None else "\0".join(example.input)
    return " ".join(example.tokens)


def _labels(example: Example) -> Sequence[Any]:
    """Return what is to be held out in the same share: labels, or whether there is an answer."""
    return (bool(example.answers),) if isinstance(example, QuestionExample) else example.names


def hash_text(text: str, salt: bytes = b"") -> int:
    """Return 64 bits that texts have in common which differ by case and spaces alone."""
    same = " ".join(text.split()).casefold().encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(same, digest_size=8, key=salt).digest(), "little")


def rarest_label(rows: int, labelled: Ints, labels: Ints) -> Ints:
    """Return the label `(rows,)` that the fewest rows have; one more than all for rows of none."""
    counts = np.bincount(labels, minlength=1)
    order = np.argsort(counts, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    found = np.full(rows, len(counts), np.int64)
    np.minimum.at(found, labelled, rank[labels])
    return found


def _choose_groups(stratum: Ints, size: Ints, share: float) -> NDArray[np.bool_]:
    """Return which groups `(groups,)` are taken: about a share of the rows of each stratum."""
    rows = np.bincount(stratum, weights=size)
    exact = share * rows
    wanted = np.floor(exact)
    # As many rows in all as the share says: the strata that lost most by rounding have one more.
    missing = max(1, math.floor(share * size.sum() + 0.5)) - int(wanted.sum())
    wanted[np.argsort(wanted - exact, kind="stable")[: max(0, missing)]] += 1
    by_stratum = np.argsort(stratum, kind="stable")
    owner, sizes = stratum[by_stratum], size[by_stratum]
    last = np.append(owner[1:] != owner[:-1], True)[: len(owner)]
    sizes = np.where((sizes <= wanted[owner]) & ~last, sizes, 0)  # the last one is kept
    total = np.cumsum(sizes)
    before = np.append(0, total)[np.searchsorted(owner, owner)]
    taken = np.zeros(len(size), np.bool_)
    taken[by_stratum] = (sizes > 0) & (total - before <= wanted[owner])
    if not taken.any():  # groups are larger than the share of their label
        others = np.flatnonzero(np.bincount(stratum)[stratum] > 1)
        smallest = others[np.argsort(size[others], kind="stable")[:1]]
        taken[smallest] = size[smallest] * 2 <= size.sum()
    return taken
