"""Texts as their own labels: some of their tokens are hidden, and what is found for them."""

from collections.abc import Sequence

import numpy as np

from bertedge.data import Example, TextExample
from bertedge.evaluation.labeller import Labeller, Part
from bertedge.runtime.masks import hide, judge


def fill(labeller: Labeller, examples: Sequence[Example]) -> Part:
    """Hide tokens of each text and find the likeliest, with the cross entropy of the right one."""
    texts = [example.text for example in examples if isinstance(example, TextExample)]
    rows = labeller.tokenizer.encode(texts)
    before = [row.ids.copy() for row in rows]
    places = [hide(row, labeller.tokenizer.mask) for row in rows]
    gold = [ids[own] for ids, own in zip(before, places, strict=True)]
    found = labeller.infer(
        rows,
        keep=lambda row, logits: judge(logits[places[row]], gold[row]),
    )
    return Part(
        gold=gold,
        predicted=[np.asarray(each[:, 0], np.int64) for each in found],
        truncated=sum(row.truncated for row in rows),
        entropy=[each[:, 1] for each in found],
    )
