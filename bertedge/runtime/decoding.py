"""Logits to typed predictions: softmax, classes, and entities as transformers' pipeline joins them.

The aggregation strategies follow `TokenClassificationPipeline` of transformers 4.57, whose answers
they equal for every text that fits the model.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bertedge.predictions import Classification, Entity
from bertedge.runtime.encoding import Encoded, best_context
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import OUTSIDE, Aggregation, DecisionRule

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """The token labels of a model, taken apart; every array and tuple has one entry a label."""

    labels: tuple[str, ...]
    names: tuple[str, ...]
    """What an entity that begins with this label is called: `PER` for `B-PER`."""
    kinds: Ints
    """Labels with the same number may stand in one entity: `B-PER` and `I-PER`, say."""
    begins: NDArray[np.bool_]
    """True for `B-` labels, which never continue an entity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokens of several texts in turn, special tokens left out; one entry a token."""

    text: Ints
    """Which text it is of."""
    offsets: Ints
    """First character and one past the last `(tokens, 2)`."""
    scores: Floats
    """Softmax probabilities `(tokens, labels)`."""
    continues: NDArray[np.bool_]
    """True where it continues the word of the token before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pieces:
    """Stretches of text with one label each: tokens, words or entities."""

    text: Ints
    label: Ints
    score: Floats
    start: Ints
    end: Ints


def spread(logits: Floats) -> float:
    """Give what differences of logits are shares of: the largest less the smallest.

    Where that is less than a hundredth of the largest magnitude, the hundredth: values far from
    zero and near each other, years say, have fewer digits to agree in. 0 where all are equal.
    """
    width = float(logits.max() - logits.min())
    return max(width, float(np.abs(logits).max()) / 100) if width else 0.0


def softmax(logits: NDArray[np.float32]) -> Floats:
    """Turn logits into probabilities over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float32)


def classify(
    logits: Floats,
    labels: Sequence[str],
    decision: DecisionRule = DecisionRule(),  # noqa: B008 (frozen)
) -> list[Classification]:
    """Label each row of `(texts, labels)`."""
    scores = softmax(logits / np.float32(decision.temperature))
    best = scores.argmax(axis=-1).tolist()
    found = [
        Classification(
            label=labels[label], score=row[label], scores=dict(zip(labels, row, strict=True))
        )
        for label, row in zip(best, scores.tolist(), strict=True)
    ]
    least, outside = decision.threshold, decision.out_of_scope
    if least is None or outside is None:
        return found
    return [each if each.score >= least else replace(each, label=outside) for each in found]


def split_tags(labels: Sequence[str]) -> Tags:
    """Take token labels apart; one without `B-` or `I-` continues a neighbour of its own kind."""
    kinds = [label[2:] if label[:2] in ("B-", "I-") else label for label in labels]
    return Tags(
        labels=tuple(labels),
        names=tuple(label.split("-", 1)[-1] for label in labels),
        kinds=np.unique(kinds, return_inverse=True)[1].astype(np.int64),
        begins=np.array([label.startswith("B-") for label in labels], np.bool_),
    )


def join_windows(
    texts: Sequence[str],
    windows: Sequence[Encoded],
    logits: Sequence[Floats],
    tokenizer: Tokenizer,
) -> Tokens:
    """Take every token of every text once, from the window that shows it in most context."""
    text, offsets, kept, continues = [], [], [], []
    for index, group in itertools.groupby(
        zip(windows, logits, strict=True), key=lambda each: each[0].text
    ):
        own, answers = zip(*group, strict=True)
        rows = best_context(own)
        ids = np.concatenate([window.ids[row] for window, row in zip(own, rows, strict=True)])
        spans = [window.offsets[row] for window, row in zip(own, rows, strict=True)]
        text.append(np.full(len(ids), index, np.int64))
        offsets += spans
        kept += [answer[row] for answer, row in zip(answers, rows, strict=True)]
        continues.append(tokenizer.continues_word(texts[index], ids, np.concatenate(spans)))
    return Tokens(
        text=np.concatenate(text),
        offsets=np.concatenate(offsets),
        scores=softmax(np.concatenate(kept)),
        continues=np.concatenate(continues),
    )


def find_entities(
    texts: Sequence[str], tokens: Tokens, tags: Tags, aggregation: Aggregation
) -> list[tuple[Entity, ...]]:
    """Join tokens to entities, for each text from left to right; what is outside is left out."""
    names = tags.labels if aggregation is Aggregation.NONE else tags.names
    found: list[list[Entity]] = [[] for _ in texts]
    if len(tokens.text) > 0:
        pieces = _label_pieces(tokens, aggregation)
        if aggregation is not Aggregation.NONE:
            pieces = _group(pieces, tags)
        for text, entity in _entities(texts, pieces, names):
            found[text].append(entity)
    return [tuple(entities) for entities in found]


def _label_pieces(tokens: Tokens, aggregation: Aggregation) -> _Pieces:
    text, scores = tokens.text, tokens.scores
    start, end = tokens.offsets[:, 0], tokens.offsets[:, 1]
    if aggregation not in (Aggregation.NONE, Aggregation.SIMPLE):
        first = np.flatnonzero(~tokens.continues | _changes(text))
        text, start, end = text[first], start[first], _last(end, first)
        scores = _word_scores(scores, first, aggregation)
    return _Pieces(
        text=text, label=scores.argmax(axis=1), score=scores.max(axis=1), start=start, end=end
    )


def _word_scores(scores: Floats, first: Ints, aggregation: Aggregation) -> Floats:
    """Give each word, which begins at token `first`, the scores of one token or their mean."""
    counts = np.diff(first, append=len(scores))
    match aggregation:
        case Aggregation.AVERAGE:
            mean = np.add.reduceat(scores, first, axis=0) / counts[:, None]
            return np.asarray(mean, np.float32)
        case Aggregation.MAX:
            best = scores.max(axis=1)
            is_best = best == np.repeat(np.maximum.reduceat(best, first), counts)
            where = np.flatnonzero(is_best)
            return scores[where[np.searchsorted(where, first)]]
        case _:
            return scores[first]


def _group(pieces: _Pieces, tags: Tags) -> _Pieces:
    """Join neighbours of one kind, each to the mean of its scores."""
    kinds = tags.kinds[pieces.label]
    first = np.flatnonzero(_changes(pieces.text) | _changes(kinds) | tags.begins[pieces.label])
    counts = np.diff(first, append=len(kinds))
    return _Pieces(
        text=pieces.text[first],
        label=pieces.label[first],
        score=np.asarray(np.add.reduceat(pieces.score, first) / counts, np.float32),
        start=pieces.start[first],
        end=_last(pieces.end, first),
    )


def _changes(values: Ints) -> NDArray[np.bool_]:
    """Tell where a value is not that of its left neighbour; the first never is."""
    return np.append(True, values[1:] != values[:-1])


def _last(values: Ints, first: Ints) -> Ints:
    """Take the last value of each group that begins at `first`."""
    last: Ints = np.append(first[1:], len(values)) - 1
    return values[last]


def _entities(
    texts: Sequence[str], pieces: _Pieces, names: Sequence[str]
) -> Iterator[tuple[int, Entity]]:
    outside = np.array([name == OUTSIDE for name in names], np.bool_)
    inside = np.flatnonzero(~outside[pieces.label])
    columns = (pieces.text, pieces.label, pieces.score, pieces.start, pieces.end)
    rows = zip(*(column[inside].tolist() for column in columns), strict=True)
    for text, label, score, start, end in rows:
        words = texts[text][start:end]
        yield text, Entity(label=names[label], score=score, start=start, end=end, text=words)
