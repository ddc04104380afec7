"""The logits of a question's windows to the spans of the context that answer it.

Candidates, scores and their order are those of `QuestionAnsweringPipeline` of transformers 4.57,
but for candidates of score 0, which it lists where it has no others.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bertedge.predictions import Answer, Answers
from bertedge.runtime.decoding import Floats
from bertedge.runtime.encoding import Encoded
from bertedge.spec import DecisionRule

Ints = NDArray[np.int64]

LONGEST_ANSWER = 15
"""Tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spans:
    """Candidates of one window, best first; every array has one entry a candidate."""

    start: Ints
    """First character."""
    end: Ints
    """One past the last character."""
    score: Floats
    no_answer: float


def find_answers(
    context: str,
    windows: Sequence[Encoded],
    logits: Sequence[Floats],
    decision: DecisionRule,
    *,
    top_k: int = 1,
) -> Answers:
    """Answer one question from the `(sequence, 2)` start and end logits of each of its windows.

    The scores of spans with the same words, in whatever case, add up at the place that is met
    first.
    """
    found: dict[str, Answer] = {}
    no_answer = 1.0
    for window, own in zip(windows, logits, strict=True):
        # So many, because several may come to lie on the same words.
        spans = _spans(window, own, 2 * top_k + 10)
        no_answer = min(no_answer, spans.no_answer)
        columns = (spans.start.tolist(), spans.end.tolist(), spans.score.tolist())
        for start, end, score in zip(*columns, strict=True):
            text = context[start:end]
            first = found.get(text.lower(), Answer(text=text, start=start, end=end, score=0.0))
            found[text.lower()] = replace(first, score=first.score + score)
    best = sorted(found.values(), key=lambda answer: -answer.score)[:top_k]
    least = decision.threshold
    none = not best or (least is not None and no_answer - best[0].score > least)
    return Answers(
        answer=None if none else best[0],
        answers=tuple(best),
        no_answer=no_answer,
        windows=len(windows),
        truncated=any(window.truncated for window in windows),
    )


def answer_each(
    contexts: Sequence[str],
    windows: Sequence[Encoded],
    logits: Sequence[Floats],
    decision: DecisionRule,
    *,
    top_k: int = 1,
) -> Iterator[Answers]:
    """Answer the questions about several contexts, whose windows come in turn."""
    groups = itertools.groupby(zip(windows, logits, strict=True), key=lambda each: each[0].text)
    for number, group in groups:
        own, answered = zip(*group, strict=True)
        yield find_answers(contexts[number], own, answered, decision, top_k=top_k)


def _spans(window: Encoded, logits: Floats, count: int) -> _Spans:
    """Find the `count` likeliest spans of a window, widened to whole words."""
    content = np.arange(len(window.ids))[window.content]
    # The first token stands for "no answer": it has its share of the probability.
    raised = logits[np.append(0, content)].astype(np.float32)
    raised = np.exp(raised - raised.max(axis=0))
    starts, ends = (raised / raised.sum(axis=0)).T
    no_answer = float(starts[0] * ends[0])
    padded = np.append(ends[1:], np.zeros(LONGEST_ANSWER, np.float32))
    scores = starts[1:, None] * sliding_window_view(padded, LONGEST_ANSWER)[: len(content)]
    flat = scores.ravel()
    best = np.argpartition(-flat, count)[:count] if len(flat) > count else np.arange(len(flat))
    best = best[np.argsort(-flat[best])]
    best = best[flat[best] > 0]
    first, length = np.divmod(best, LONGEST_ANSWER)
    begin, end = _words(window)
    return _Spans(
        start=begin[first], end=end[first + length], score=flat[best], no_answer=no_answer
    )


def _words(window: Encoded) -> tuple[Ints, Ints]:
    """Tell where the word of each token of the content begins and ends, in characters.

    Only the part of a word that lies in the window counts; a token without a word is its own.
    """
    words = window.word_ids[window.content]
    offsets = window.offsets[window.content]
    tokens = np.arange(len(words))
    changes = (words[1:] != words[:-1]) | (words[1:] < 0)
    first = np.maximum.accumulate(np.where(np.append(True, changes)[: len(words)], tokens, 0))
    is_last = np.append(changes, True)[: len(words)]
    last = np.minimum.accumulate(np.where(is_last, tokens, len(words))[::-1])[::-1]
    return offsets[first, 0], offsets[last, 1]
