"""Exact match and F1 of answers to questions, as SQuAD's own evaluation has them, and thresholds.

Two things go beyond SQuAD's script, which is for English. Punctuation is what Unicode calls so,
not ASCII's alone. Scripts without spaces between words (Han, kana, Thai and others) are compared by
character, the words between them by word, as CMRC 2018's evaluation does it (Cui et al., 2019).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.unspaced import UNSPACED, is_punctuation

SPAN = np.dtype([("start", np.int64), ("end", np.int64)])
"""Of an answer, in characters; (-1, -1) where there is none."""
NO_SPAN = (-1, -1)
FOUND = np.dtype(
    [
        *(("start", np.int64), ("end", np.int64), ("exact", np.float64), ("f1", np.float64)),
        *(("margin", np.float64), ("impossible", np.bool_)),
    ]
)
"""Of a question: the best answer and what it is worth; how far the score of there being none is
above its score; whether there is none."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")

Records = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerScores:
    """The scores of a model that answers questions, each from 0 to 1."""

    metric: str
    """"answer_f1": what `value` is."""
    value: float
    exact_match: float
    answerable: float | None
    """F1 on the questions that have an answer; None where all have."""
    unanswerable: float | None
    """Share of the questions without an answer that are given none; None where all have one."""


def exact_match(text: str, gold: Sequence[str]) -> float:
    """Return 1.0 where `text` is one of the right answers (none: ""), normalised, else 0.0."""
    return float(any(_tokens(text) == _tokens(each) for each in gold or ("",)))


def f1(text: str, gold: Sequence[str]) -> float:
    """Return the F1 of the words (or characters) of `text` with the right answer nearest to it."""
    return max(_f1(_tokens(text), _tokens(each)) for each in gold or ("",))


def decide(found: Records, threshold: float | None) -> Records:
    """Return the span that answers each question, of `FOUND`; none where it is impossible."""
    spans = np.empty(len(found), SPAN)
    spans["start"], spans["end"] = found["start"], found["end"]
    spans[_given_none(found, threshold)] = NO_SPAN
    return spans


def score_answers(found: Records, threshold: float | None) -> AnswerScores:
    """Score what `decide` gives; no answer is right where there is none."""
    if not len(found):
        raise ValueError("there are no questions to score")
    none, impossible = _given_none(found, threshold), found["impossible"]
    exact, overlap = np.where(none, impossible, found["exact"]), answer_overlap(found, threshold)
    some = bool(impossible.any())
    return AnswerScores(
        metric="answer_f1",
        value=float(overlap.mean()),
        exact_match=float(exact.mean()),
        answerable=float(overlap[~impossible].mean()) if some and not impossible.all() else None,
        unanswerable=float(overlap[impossible].mean()) if some else None,
    )


def answer_overlap(found: Records, threshold: float | None) -> NDArray[np.float64]:
    """Return the F1 of what `decide` gives, `(questions,)`."""
    return np.where(_given_none(found, threshold), found["impossible"], found["f1"])


def best_threshold(found: Records) -> float | None:
    """Choose the threshold with the highest F1; None where every question has an answer.

    Halfway between two margins that occur, which leaves both as much room.
    """
    if not found["impossible"].any():
        return None
    order = np.argsort(found["margin"], kind="stable")
    margins = found["margin"][order]
    # With the first i questions answered, and none of the others.
    gained = np.append(0.0, np.cumsum(found["f1"][order] - found["impossible"][order]))
    borders = np.concatenate([[margins[0] - 1], margins, [margins[-1] + 1]])
    middles = (borders[1:] + borders[:-1]) / 2
    apart = borders[1:] > borders[:-1]
    return float(f"{middles[np.argmax(np.where(apart, gained, -np.inf))]:.6g}")


def _given_none(found: Records, threshold: float | None) -> NDArray[np.bool_]:
    none: NDArray[np.bool_] = found["start"] < 0
    return none if threshold is None else none | (found["margin"] > threshold)


def _f1(text: list[str], gold: list[str]) -> float:
    if not text or not gold:
        return float(text == gold)
    same = (Counter(text) & Counter(gold)).total()
    return 2 * same / (len(text) + len(gold))


def _tokens(text: str) -> list[str]:
    """Split normalised text into words, or characters where no spaces part words."""
    text = "".join(c for c in text.lower() if not is_punctuation(c))
    if UNSPACED.search(text):  # in such a text "a" is a letter, as in 维生素 A, no article
        return UNSPACED.sub(r" \g<0> ", text).split()
    return _ARTICLES.sub(" ", text).split()
