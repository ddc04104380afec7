"""Texts without labels, beside the labelled ones of a task."""

from array import array
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bertedge.data import label_text, plain
from bertedge.data.example import Columns, Example
from bertedge.data.files import ExampleFile, open_examples, read_all
from bertedge.data.folds import select_rows
from bertedge.data.formats import is_text
from bertedge.data.lines import check_encoding, check_file, read_lines
from bertedge.data.split import hash_text, text_of
from bertedge.errors import DataError, fit
from bertedge.spec import LabelKind


def open_unlabelled(path: Path, like: ExampleFile, encoding: str | None) -> ExampleFile:
    """Open texts of the kind that a labelled file has; labels that stand there are not read.

    A `.txt` file is a text a line, unless there are TABs in its first line or the labelled file
    has labels before its texts and this one too. Raises what `open_examples` raises.
    """
    encoding = None if encoding is None else check_encoding(encoding)
    told = Columns(encoding=encoding, bad_rows=like.columns.bad_rows)
    if like.task.labels_are is LabelKind.CLASSES and _has_plain_lines(path, like, encoding):
        return ExampleFile(
            path=path,
            task=like.task,
            columns=replace(told, format=plain.FORMAT),
            pair=False,
            description="plain text, a text a line",
            problem_type=like.problem_type,
        )
    return open_examples(
        path,
        like.task,
        told,
        problem_type=like.problem_type,
        labelled=False,
        pair=like.pair,
        trained=like.columns,
    )


def leave_out_known(texts: ExampleFile, known: Iterable[ExampleFile]) -> ExampleFile:
    """Return the texts that no file of `known` has, each once; case and spaces aside.

    How many are left out stands in the description. Raises DataError where none is left, and all
    that is wrong with the rows together.
    """
    keys = _hash(read_all(texts))
    _, first = np.unique(keys, return_index=True)
    chosen = np.zeros(len(keys), np.bool_)
    chosen[first] = True
    repeated = int((~chosen).sum())
    for file in known:
        chosen &= ~np.isin(keys, _hash(file))
    of_known = len(keys) - repeated - int(chosen.sum())
    if not chosen.any():
        raise DataError(
            f"{texts.path} has no text that is not in the training or dev data, too; give others"
        )
    said = [texts.description, f"{int(chosen.sum()):,} texts"]
    counts = {"that are in the training or dev data": of_known, "that stand there twice": repeated}
    said += [f"{count:,} {what} are left out" for what, count in counts.items() if count]
    return replace(select_rows(texts, chosen), description=fit("; ".join(said)))


def _hash(examples: Iterable[Example]) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    return np.frombuffer(array("Q", (hash_text(text_of(each)) for each in examples)), np.uint64)


def _has_plain_lines(path: Path, like: ExampleFile, encoding: str | None) -> bool:
    if not is_text(path) or like.pair:
        return False
    check_file(path)
    first = next((line for _, line in read_lines(path, encoding) if line.strip()), "")
    labels = like.columns.format == label_text.FORMAT and label_text.looks_like(path, encoding)
    return "\t" not in first and not labels
