"""Labelled examples to tokenized Arrow data sets, streamed through `datasets`."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from bertedge.data import ExampleFile
from bertedge.finetune.config import FinetuneConfig
from bertedge.outputs import remove
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import ProblemType
from bertedge.tasks import trainable_task
from bertedge.tasks.token_classification import IGNORED

TRUNCATED, WINDOWED = 1, 2
"""Flags of a text's first row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """A tokenized data set: input_ids, token_type_ids, labels, length.

    The labels of a window over a context are the first and the last token of the answer (0, [CLS],
    where not all of it is there), the number of the question, and that of the first token. Where
    rows are trained on in groups, input_ids and token_type_ids are lists of rows.
    """

    data: datasets.Dataset
    rows: int
    truncated: int
    """Texts, or questions, whose end was cut off."""
    windowed: int
    """Texts, or contexts, read in several windows; nothing of them is lost."""
    pool: int = 0
    """The last rows of `data`, of which each epoch has others."""
    drawn: int = 0
    """How many it has."""

    @property
    def epoch_rows(self) -> int:
        """Rows of an epoch."""
        return int(self.data.num_rows) - self.pool + self.drawn


def add_rows(one: Features, other: Features) -> Features:
    """Put the rows of another data set behind those of one, whose texts are counted alone."""
    return replace(one, data=datasets.concatenate_datasets([one.data, other.data]))


def label_counts(features: Features, config: FinetuneConfig, classes: int) -> NDArray[np.int64]:
    """Count how often each label is given, `(classes,)`; several of them may be a text's."""
    column = features.data.with_format("arrow")["labels"][:].combine_chunks()
    if config.problem_type is ProblemType.MULTI_LABEL:
        has = column.flatten().to_numpy().reshape(-1, classes)
        return np.asarray(has.sum(axis=0), dtype=np.int64)
    values = (column.flatten() if config.task.tags_words else column).to_numpy()
    return np.bincount(values[values != IGNORED], minlength=classes)


def build(
    examples: ExampleFile,
    labels: tuple[str, ...],
    tokenizer: Tokenizer,
    cache: Path,
    *,
    scored: bool = False,
) -> Features:
    """Stream `examples` into Arrow files in a new folder `cache`; tokenize in all threads.

    Rows without any of the labels are left out, where each must have one: they are out of scope.
    So are questions whose answers are not in their contexts, unless they are to be `scored`.
    """
    task = trainable_task(examples.task)
    remove(cache)  # what an interrupted run has left may be cut short
    rows = datasets.Dataset.from_generator(
        _rows,
        gen_kwargs={"examples": examples, "labels": labels, "scored": scored},
        cache_dir=str(cache),
    )

    def tokenize(batch: dict[str, list[Any]], numbers: list[int]) -> dict[str, list[Any]]:
        found = task.encode_training(tokenizer, batch, numbers)
        if found.groups is not None:
            return _grouped(found.rows, found.groups, found.labels)
        return {
            "input_ids": [row.ids for row in found.rows],
            "token_type_ids": [row.type_ids for row in found.rows],
            "length": [len(row.ids) for row in found.rows],
            "labels": list(found.labels),
            "flag": _flags(found.rows),
        }

    data = rows.map(
        tokenize,
        batched=True,
        with_indices=True,
        batch_size=2000,
        remove_columns=rows.column_names,
        cache_file_name=str(cache / "tokenized.arrow"),
        new_fingerprint="tokenized",
    )
    flags = np.asarray(data["flag"])
    return Features(
        data=data.remove_columns("flag"),
        rows=len(rows),
        truncated=int((flags & TRUNCATED > 0).sum()),
        windowed=int((flags & WINDOWED > 0).sum()),
    )


def _rows(examples: ExampleFile, labels: tuple[str, ...], scored: bool) -> Iterator[dict[str, Any]]:
    number = {label: i for i, label in enumerate(labels)}
    task = trainable_task(examples.task)
    for example in examples:
        row = task.training_row(example, number, examples.problem_type, scored=scored)
        if row is not None:
            yield row


def _grouped(
    rows: Sequence[Encoded], groups: Sequence[int], labels: Sequence[Any]
) -> dict[str, list[Any]]:
    """Return columns with a list of rows for each group; its length is that of the longest."""
    iterator = iter(rows)
    parts = [list(itertools.islice(iterator, size)) for size in groups]
    return {
        "input_ids": [[row.ids for row in part] for part in parts],
        "token_type_ids": [[row.type_ids for row in part] for part in parts],
        "length": [max(len(row.ids) for row in part) for part in parts],
        "labels": list(labels),
        "flag": [TRUNCATED * any(row.truncated for row in part) for part in parts],
    }


def _flags(encoded: Sequence[Encoded]) -> list[int]:
    """Flag the first row of each text that was cut, or that has several windows."""
    texts = [row.text for row in encoded]
    pairs = zip(texts, [-1, *texts[:-1]], [*texts[1:], -1], strict=True)
    windowed = [WINDOWED * (before != text == after) for text, before, after in pairs]
    cut = [TRUNCATED * (row.truncated and row.first == 0) for row in encoded]
    return [one | other for one, other in zip(windowed, cut, strict=True)]
