"""The words of the training data that are typical of each label, and its mentions by type."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.finetune.features import Features
from bertedge.finetune.words import SPECIAL, Vocabulary, Word, split_words
from bertedge.spec import OUTSIDE

MOST_ROWS = 50_000
"""That are read, from all over the data; this bounds time and memory."""
MOST_MENTIONS = 5_000
"""Kept of a type."""

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TypicalWords:
    """The words of a label, by tf-idf with labels for documents."""

    weights: dict[Ids, float]
    words: Sequence[Ids]
    """Those of weight above 0, which some label lacks."""
    shares: NDArray[np.float64]
    """How often each is drawn `(words,)`; sums to 1."""


def typical_words(train: Features, vocabulary: Vocabulary) -> dict[int, TypicalWords]:
    """Count words by label: weight = count in the label x log((1 + labels) / (1 + labels with it)).

    Labels without a word of their own are left out.
    """
    counts: dict[int, Counter[Ids]] = defaultdict(Counter)
    for row in _rows(train):
        words = [w.ids for w in split_words(row, vocabulary, tagged=False) if w.segment != SPECIAL]
        for label in labels_of(row):
            counts[label].update(words)
    owners = Counter(word for own in counts.values() for word in own)
    found = {}
    for label, own in counts.items():
        rarity = {word: math.log((1 + len(counts)) / (1 + owners[word])) for word in own}
        weights = {word: count * rarity[word] for word, count in own.items()}
        words = [word for word, weight in weights.items() if weight > 0]
        if words:
            shares = np.array([weights[word] for word in words])
            found[label] = TypicalWords(weights=weights, words=words, shares=shares / shares.sum())
    return found


def labels_of(row: dict[str, Any]) -> list[int]:
    """Return the labels of a text, however many it has."""
    labels = row["labels"]
    if isinstance(labels, int):
        return [labels]
    return [number for number, has in enumerate(labels) if has > 0]


def find_mentions(words: Sequence[Word], labels: Sequence[str]) -> list[tuple[slice, str]]:
    """Return where the entities of a row stand, and their types: B- and what follows of I-."""
    found: list[tuple[slice, str]] = []
    for i, word in enumerate(words):
        tag = labels[word.labels[0]] if word.labels[0] >= 0 and word.segment != SPECIAL else OUTSIDE
        if tag.startswith("B-"):
            found.append((slice(i, i + 1), tag[2:]))
        elif (
            tag.startswith("I-") and found and found[-1] == (slice(found[-1][0].start, i), tag[2:])
        ):
            found[-1] = (slice(found[-1][0].start, i + 1), tag[2:])
    return found


def collect_mentions(
    train: Features, vocabulary: Vocabulary, labels: Sequence[str]
) -> dict[str, list[tuple[Word, ...]]]:
    """Return the mentions of each type in the data; one that occurs often is there often."""
    mentions: dict[str, list[tuple[Word, ...]]] = defaultdict(list)
    for row in _rows(train):
        words = split_words(row, vocabulary, tagged=True)
        for place, kind in find_mentions(words, labels):
            if len(mentions[kind]) < MOST_MENTIONS:
                mentions[kind].append(tuple(words[place]))
    return mentions


def _rows(train: Features) -> Iterator[dict[str, Any]]:
    count = train.data.num_rows
    step = max(1, math.ceil(count / MOST_ROWS))
    for i in range(0, count, step):
        yield train.data[i]
