"""Texts in words with a tag each: what is right and what is answered, read in windows."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.evaluation.labeller import Labeller, Part, unknown_label
from bertedge.examples import Example, TokenExample
from bertedge.metrics import Scores, entity_scores
from bertedge.runtime.session import infer
from bertedge.runtime.tokenization import best_context

OUTSIDE = "O"


def tag(labeller: Labeller, examples: Sequence[Example], path: Path) -> Part:
    """Run the engine over tagged texts of the file `path`."""
    texts = [example for example in examples if isinstance(example, TokenExample)]
    numbers = {name: number for number, name in enumerate(labeller.labels)}
    gold = []
    for text in texts:
        try:
            gold.append(np.array([numbers[tag] for tag in text.tags or ()], np.int64))
        except KeyError:
            where = f"{path}:{text.line}"
            raise unknown_label(where, text.tags or (), labeller.labels) from None
    return Part(gold=gold, predicted=_label([t.tokens for t in texts], labeller), truncated=0)


def score_words(
    gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]], labels: Sequence[str]
) -> Scores:
    """Score label numbers, an array a text."""
    names = np.array(labels)
    return entity_scores(
        [names[row].tolist() for row in gold], [names[row].tolist() for row in predicted]
    )


def _label(texts: Sequence[Sequence[str]], labeller: Labeller) -> list[NDArray[Any]]:
    """Give each word the label of its first piece; a word without any piece is outside."""
    windows = labeller.tokenizer.encode_words(texts)
    logits = infer(labeller.engine, windows, pad_token_id=labeller.pad_token_id)
    outside = labeller.labels.index(OUTSIDE) if OUTSIDE in labeller.labels else 0
    labels: list[NDArray[Any]] = [np.full(len(words), outside, dtype=np.int64) for words in texts]
    for text, group in itertools.groupby(range(len(windows)), lambda i: windows[i].text):
        members = list(group)
        kept = best_context([windows[i] for i in members])
        pairs = list(zip(members, kept, strict=True))
        word_ids = np.concatenate([windows[i].word_ids[keep] for i, keep in pairs])
        pieces = np.concatenate([logits[i][keep].argmax(axis=1) for i, keep in pairs])
        words, first = np.unique(word_ids, return_index=True)
        labels[text][words] = pieces[first]
    return labels
