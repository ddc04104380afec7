"""Any engine over labelled examples: predicted labels, scores, and how two engines agree."""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import DataError
from bertedge.examples import Example, ExampleFile, TextExample, TokenExample
from bertedge.metrics import Scores, classification_scores, entity_scores, mask_scores
from bertedge.progress import Progress, Silent
from bertedge.runtime.masks import hide, judge
from bertedge.runtime.session import Engine, infer
from bertedge.runtime.tokenization import Tokenizer, best_context
from bertedge.tasks import Task

CHUNK = 2048
"""Examples read, tokenized and sorted by length at a time; bounds the memory."""
OUTSIDE = "O"
FOUND = 1
"""The column of what was found at a mask."""


class Model(Protocol):
    """What a checkpoint and a bundle's manifest both say of their model."""

    @property
    def task(self) -> Task: ...  # noqa: D102
    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def max_length(self) -> int: ...  # noqa: D102
    @property
    def pad_token_id(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Labeller:
    """An engine with what turns text into its batches and its logits into labels."""

    engine: Engine
    tokenizer: Tokenizer
    task: Task
    labels: tuple[str, ...]
    pad_token_id: int

    @classmethod
    def of(cls, model: Model, tokenizer_json: str, engine: Engine) -> "Labeller":
        """Put an engine to work for a checkpoint or a bundle's manifest."""
        return cls(
            engine=engine,
            tokenizer=Tokenizer(tokenizer_json, max_length=model.max_length),
            task=model.task,
            labels=model.labels,
            pad_token_id=model.pad_token_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """What an engine made of a labelled file."""

    scores: Scores
    predicted: NDArray[np.int64]
    """Label ids `(texts,)`, or `(words,)` of all texts in turn; for masks see `_fill`."""
    rows: int
    truncated: int
    """Texts of which the end was not seen; token labels are read in windows, so never cut."""
    seconds: float


def run(labeller: Labeller, examples: ExampleFile, progress: Progress | None = None) -> Labelling:
    """Label every example and score the result.

    Raises DataError for a gold label that the model does not know.
    """
    progress = progress or Silent()
    progress.start("evaluating", None, "rows")
    began = time.perf_counter()
    gold: list[NDArray[np.int64]] = []
    predicted: list[NDArray[np.int64]] = []
    rows = truncated = 0
    for chunk in _chunks(examples):
        if labeller.task is not Task.FILL_MASK:  # there the text is its own label
            gold += [_gold_ids(example, labeller, examples) for example in chunk]
        labels, cut = _label(labeller, chunk)
        predicted += labels
        rows += len(chunk)
        truncated += cut
        progress.advance(len(chunk))
    progress.finish()
    return Labelling(
        scores=_score(labeller, gold, predicted),
        predicted=np.concatenate(predicted),
        rows=rows,
        truncated=truncated,
        seconds=time.perf_counter() - began,
    )


def agreement(one: Labelling, other: Labelling) -> float:
    """Share of texts (of words, of masks) that both give the same label."""
    return float(np.mean(_labels(one) == _labels(other)))


def _labels(labelling: Labelling) -> NDArray[np.int64]:
    """Take the labels alone of what was predicted."""
    predicted = labelling.predicted
    return predicted if predicted.ndim == 1 else predicted[:, FOUND]


def _chunks(examples: Iterable[Example]) -> Iterator[list[Example]]:
    iterator = iter(examples)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk


def _gold_ids(example: Example, labeller: Labeller, file: ExampleFile) -> NDArray[np.int64]:
    names = (example.label,) if isinstance(example, TextExample) else example.tags
    try:
        return np.array([labeller.labels.index(name) for name in names or ()], dtype=np.int64)
    except ValueError:
        unknown = next(name for name in names or () if name not in labeller.labels)
        known = ", ".join(labeller.labels[:8]) + (", …" if len(labeller.labels) > 8 else "")
        raise DataError(
            f"{file.path}:{example.line}: the model does not know the label {unknown!r}; "
            f"its {len(labeller.labels)} labels are {known}"
        ) from None


def _label(labeller: Labeller, chunk: list[Example]) -> tuple[list[NDArray[np.int64]], int]:
    """Return the label ids of each example, and how many texts were cut."""
    match labeller.task:
        case Task.TEXT_CLASSIFICATION:
            texts = [
                e.text if e.pair is None else (e.text, e.pair)
                for e in chunk
                if isinstance(e, TextExample)
            ]
            encoded = labeller.tokenizer.encode(texts)
            logits = infer(labeller.engine, encoded, pad_token_id=labeller.pad_token_id)
            labels = [np.array([row.argmax()], dtype=np.int64) for row in logits]
            return labels, sum(item.truncated for item in encoded)
        case Task.TOKEN_CLASSIFICATION:
            words = [e.tokens for e in chunk if isinstance(e, TokenExample)]
            return _label_words(labeller, words), 0
        case Task.FILL_MASK:
            return _fill(labeller, [e.text for e in chunk if isinstance(e, TextExample)])


def _fill(labeller: Labeller, texts: list[str]) -> tuple[list[NDArray[Any]], int]:
    """Hide words of each text and give, for each, what is right, what is found, and at what cost.

    `(masks, 3)`: the hidden token, the likeliest one, the cross entropy of the hidden one.
    """
    rows = labeller.tokenizer.encode(texts)
    before = [row.ids.copy() for row in rows]
    places = [hide(row, labeller.tokenizer.mask) for row in rows]
    gold = [ids[own] for ids, own in zip(before, places, strict=True)]
    found = infer(
        labeller.engine,
        rows,
        pad_token_id=labeller.pad_token_id,
        keep=lambda row, logits: judge(logits[places[row]], gold[row]),
    )
    tables = [np.column_stack(pair) for pair in zip(gold, found, strict=True)]
    return tables, sum(row.truncated for row in rows)


def _label_words(labeller: Labeller, texts: Sequence[Sequence[str]]) -> list[NDArray[np.int64]]:
    """Give each word the label of its first piece; a word without any piece is outside."""
    windows = labeller.tokenizer.encode_words(texts)
    logits = infer(labeller.engine, windows, pad_token_id=labeller.pad_token_id)
    outside = labeller.labels.index(OUTSIDE) if OUTSIDE in labeller.labels else 0
    labels = [np.full(len(words), outside, dtype=np.int64) for words in texts]
    for text, group in itertools.groupby(range(len(windows)), lambda i: windows[i].text):
        members = list(group)
        kept = best_context([windows[i] for i in members])
        pairs = list(zip(members, kept, strict=True))
        word_ids = np.concatenate([windows[i].word_ids[keep] for i, keep in pairs])
        pieces = np.concatenate([logits[i][keep].argmax(axis=1) for i, keep in pairs])
        words, first = np.unique(word_ids, return_index=True)
        labels[text][words] = pieces[first]
    return labels


def _score(
    labeller: Labeller, gold: list[NDArray[np.int64]], predicted: list[NDArray[np.int64]]
) -> Scores:
    match labeller.task:
        case Task.TEXT_CLASSIFICATION:
            return classification_scores(
                np.concatenate(gold), np.concatenate(predicted), labeller.labels
            )
        case Task.TOKEN_CLASSIFICATION:
            names = np.array(labeller.labels)
            return entity_scores(
                [names[row].tolist() for row in gold], [names[row].tolist() for row in predicted]
            )
        case Task.FILL_MASK:
            return mask_scores(*np.concatenate(predicted).T)
