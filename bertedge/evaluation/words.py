"""Texts in words with a tag each, and maybe an intent: what is right and what is answered."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.data import Example, TokenExample
from bertedge.evaluation.labeller import Labeller, Part, unknown_label
from bertedge.heads import best_labels, split_heads
from bertedge.metrics import (
    FrameScores,
    Scores,
    classification_scores,
    entity_counts,
    entity_scores,
)
from bertedge.runtime.encoding import best_context
from bertedge.spec import OUTSIDE, Task


def tag(labeller: Labeller, examples: Sequence[Example], path: Path) -> Part:
    """Run the engine over tagged texts of the file `path`.

    An array is of the words of a text; where it has an intent, that comes before them.
    """
    texts = [example for example in examples if isinstance(example, TokenExample)]
    numbers = {name: number for number, name in enumerate(labeller.labels)}
    gold = []
    for text in texts:
        try:
            gold.append(np.array([numbers[name] for name in text.names], np.int64))
        except KeyError:
            where = f"{path}:{text.line}"
            raise unknown_label(where, text.names, labeller.labels) from None
    return Part(gold=gold, predicted=_label([t.tokens for t in texts], labeller), truncated=0)


def count_entities(
    gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]], labels: Sequence[str]
) -> NDArray[np.int64]:
    """Count entities of label numbers, an array a text; see `metrics.entity_counts`."""
    names = np.array(labels)
    return entity_counts(
        [names[row].tolist() for row in gold], [names[row].tolist() for row in predicted]
    )


def score_words(
    gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]], labels: Sequence[str]
) -> Scores:
    """Score label numbers, an array a text."""
    names = np.array(labels)
    return entity_scores(
        [names[row].tolist() for row in gold], [names[row].tolist() for row in predicted]
    )


def score_frames(
    gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]], labels: Sequence[str]
) -> FrameScores:
    """Score label numbers, an array a text, that of its intent before those of its words."""
    truth, guess = (np.array([row[0] for row in rows]) for rows in (gold, predicted))
    right = [np.array_equal(*rows) for rows in zip(gold, predicted, strict=True)]
    return FrameScores(
        metric="frame_accuracy",
        value=float(np.mean(right)),
        intents=classification_scores(truth, guess, split_heads(labels).intents),
        slots=score_words([row[1:] for row in gold], [row[1:] for row in predicted], labels),
    )


def _label(texts: Sequence[Sequence[str]], labeller: Labeller) -> list[NDArray[Any]]:
    """Give each word the label of its first piece; a word without any piece is outside.

    The intent is that of the first window.
    """
    heads = split_heads(labeller.labels) if labeller.task is Task.INTENT_SLOTS else None
    windows = labeller.tokenizer.encode_words(texts)
    answers = labeller.infer(
        windows,
        keep=lambda _, logits: best_labels(logits, heads) if heads else logits.argmax(axis=-1),
    )
    first_tag = heads.tag_columns.start if heads else 0
    outside = labeller.labels.index(OUTSIDE) if OUTSIDE in labeller.labels else first_tag
    labels: list[NDArray[Any]] = [np.full(len(words), outside, dtype=np.int64) for words in texts]
    for text, group in itertools.groupby(range(len(windows)), lambda i: windows[i].text):
        members = list(group)
        kept = best_context([windows[i] for i in members])
        pairs = list(zip(members, kept, strict=True))
        word_ids = np.concatenate([windows[i].word_ids[keep] for i, keep in pairs])
        pieces = np.concatenate([answers[i][keep] for i, keep in pairs])
        words, first = np.unique(word_ids, return_index=True)
        labels[text][words] = pieces[first]
        if heads:
            labels[text] = np.append(answers[members[0]][0], labels[text])
    return labels
