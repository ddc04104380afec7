"""Labelled examples to tokenized Arrow data sets, streamed through `datasets`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from bertedge.data import ExampleFile, QuestionExample, TextExample
from bertedge.finetune.config import FinetuneConfig
from bertedge.outputs import remove
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import ProblemType, Task

IGNORED = -100
"""The label that PyTorch's cross entropy leaves out."""
TRUNCATED, WINDOWED = 1, 2
"""Flags of a text's first row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """A tokenized data set: input_ids, token_type_ids, labels, length.

    The labels of a window over a context are the first and the last token of the answer (0, [CLS],
    where not all of it is there), the number of the question, and that of the first token.
    """

    data: datasets.Dataset
    rows: int
    truncated: int
    """Texts, or questions, whose end was cut off."""
    windowed: int
    """Texts, or contexts, read in several windows; nothing of them is lost."""


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
    remove(cache)  # what an interrupted run has left may be cut short
    rows = datasets.Dataset.from_generator(
        _rows,
        gen_kwargs={"examples": examples, "labels": labels, "scored": scored},
        cache_dir=str(cache),
    )

    def tokenize(batch: dict[str, list[Any]], numbers: list[int]) -> dict[str, list[Any]]:
        if examples.task is Task.QUESTION_ANSWERING:
            return _tokenize_questions(batch, numbers, tokenizer)
        return _tokenize(batch, examples.task, tokenizer)

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
    for example in examples:
        if isinstance(example, QuestionExample):
            row = {"question": example.question, "context": example.context}
            answer = example.placed  # a model is trained on one answer a question
            if answer is not None and answer.start is not None:
                yield row | {"start": answer.start, "end": answer.start + len(answer.text)}
            elif scored or not example.answers:
                yield row | {"start": -1, "end": -1}
        elif isinstance(example, TextExample):
            if examples.problem_type is not ProblemType.SINGLE_LABEL or example.label in number:
                target = _target(example, examples.problem_type, number)
                yield {"text": example.text, "pair": example.pair, "label": target}
        else:
            names = [number[name] for name in example.names]
            yield {"tokens": list(example.tokens), "names": names}


def _target(
    example: TextExample, problem_type: ProblemType, number: dict[str, int]
) -> int | float | list[float]:
    """Give what the loss compares logits with: a label's number, a value, or 0 and 1 a label."""
    match problem_type:
        case ProblemType.SINGLE_LABEL:
            return number[example.label or ""]
        case ProblemType.MULTI_LABEL:
            has = {number[name] for name in example.names}
            return [float(i in has) for i in range(len(number))]
        case ProblemType.REGRESSION:
            return float(example.value or 0.0)


def _tokenize(
    batch: dict[str, list[Any]], task: Task, tokenizer: Tokenizer
) -> dict[str, list[Any]]:
    match task:
        case Task.TEXT_CLASSIFICATION:
            pairs = zip(batch["text"], batch["pair"], strict=True)
            encoded = tokenizer.encode([t if p is None else (t, p) for t, p in pairs])
            labels: list[Any] = batch["label"]
            flags = [int(item.truncated) for item in encoded]
        case Task.TOKEN_CLASSIFICATION | Task.INTENT_SLOTS:
            encoded = tokenizer.encode_words(batch["tokens"])
            names = [np.asarray(row, dtype=np.int64) for row in batch["names"]]
            joint = task is Task.INTENT_SLOTS
            labels = [_piece_labels(item, names[item.text], joint=joint) for item in encoded]
            flags = _windowed(encoded)
    return _columns(encoded, labels, flags)


def _tokenize_questions(
    batch: dict[str, list[Any]], numbers: list[int], tokenizer: Tokenizer
) -> dict[str, list[Any]]:
    pairs = zip(batch["question"], batch["context"], strict=True)
    windows = tokenizer.encode_questions(list(pairs))
    spans = list(zip(batch["start"], batch["end"], strict=True))
    labels = [
        [*find_span(item, *spans[item.text]), numbers[item.text], item.first] for item in windows
    ]
    flags = _windowed(windows)
    cut = [int(item.truncated and item.first == 0) for item in windows]
    return _columns(windows, labels, [flag | one for flag, one in zip(flags, cut, strict=True)])


def _columns(
    encoded: Sequence[Encoded], labels: list[Any], flags: list[int]
) -> dict[str, list[Any]]:
    return {
        "input_ids": [item.ids for item in encoded],
        "token_type_ids": [item.type_ids for item in encoded],
        "length": [len(item.ids) for item in encoded],
        "labels": labels,
        "flag": flags,
    }


def _windowed(encoded: Sequence[Encoded]) -> list[int]:
    """Flag the first window of each text that has several."""
    texts = [item.text for item in encoded]
    pairs = zip(texts, [-1, *texts[:-1]], [*texts[1:], -1], strict=True)
    return [WINDOWED * (before != text == after) for text, before, after in pairs]


def find_span(item: Encoded, start: int, end: int) -> tuple[int, int]:
    """Find the first and the last token of the characters `start` to `end` in a window.

    (0, 0), the place of [CLS], where the window does not hold them all.
    """
    offsets = item.offsets[item.content]
    if start < 0 or not len(offsets) or start < offsets[0, 0] or end > offsets[-1, 1]:
        return 0, 0
    first = int(np.searchsorted(offsets[:, 1], start, "right"))
    last = int(np.searchsorted(offsets[:, 0], end, "left")) - 1
    return (item.content.start + first, item.content.start + last) if first <= last else (0, 0)


def _piece_labels(item: Encoded, names: np.ndarray, *, joint: bool) -> np.ndarray:
    """Give the first piece of each word its tag; all other pieces are ignored.

    Where a window continues a text, its first word may have begun in the window before. An intent,
    which comes before the tags, is given to the first token of the first window.
    """
    labels = np.full(len(item.ids), IGNORED, dtype=np.int64)
    tags = names[1:] if joint else names
    continued = item.first > 0
    if joint and not continued:
        labels[0] = names[0]
    pieces = np.flatnonzero(item.word_ids >= 0)
    words, first = np.unique(item.word_ids[pieces], return_index=True)
    skip = 1 if continued else 0
    labels[pieces[first][skip:]] = tags[words[skip:]]
    return labels
