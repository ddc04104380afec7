"""Tagged words scored as users meet them: joined to a text, which is split at will.

`run` gives the model the file's words, each with a tag. `predict` gets a text, splits it as the
tokenizer does and finds entities by character: other splits can make other entities.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bertedge.data import Example, ExampleFile, TokenExample
from bertedge.errors import SettingError
from bertedge.evaluation.labeller import Labeller
from bertedge.evaluation.labelling import chunks
from bertedge.heads import split_heads
from bertedge.metrics import FrameScores, Scores, classification_scores, entity_scores
from bertedge.progress import Progress, Silent
from bertedge.runtime.decoding import find_entities, join_windows, split_tags
from bertedge.runtime.intents import find_intents
from bertedge.spec import OUTSIDE, Aggregation, Task
from bertedge.unspaced import UNSPACED

Span = tuple[int, int, str]
"""Start, end and type of an entity, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEvaluation:
    """The scores of entities by their first and last character."""

    scores: Scores | FrameScores
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """One text: tags a character, and the intent's number (0 where there is none)."""

    gold: list[str]
    predicted: list[str]
    intent: int
    predicted_intent: int


def run_as_text(
    labeller: Labeller, examples: ExampleFile, progress: Progress | None = None
) -> TextEvaluation:
    """Join the words of each example to a text, find its entities, and score them."""
    if not labeller.task.tags_words:
        raise SettingError(f"{labeller.task} reads texts as they are; leave --as-text out")
    began = time.perf_counter()
    found = [
        each
        for chunk in chunks(examples, progress or Silent())
        for each in _compare(labeller, chunk, examples.path)
    ]
    slots = entity_scores([each.gold for each in found], [each.predicted for each in found])
    scores: Scores | FrameScores = slots
    if labeller.task is Task.INTENT_SLOTS:
        scores = _score_frames(labeller, found, slots)
    return TextEvaluation(scores=scores, rows=len(found), seconds=time.perf_counter() - began)


def join_words(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Join words to a text; return it with start and end of each word.

    Spaces part words, but for those of scripts without spaces (Han, kana, Thai and others), where
    only letters and digits of another script are kept apart.
    """
    without = sum(bool(UNSPACED.search(word)) for word in words)
    unspaced = without > sum(any(map(_is_spaced_letter, word)) for word in words)
    text = ""
    spans = []
    for word in words:
        if text and (not unspaced or (_is_spaced(text[-1]) and _is_spaced(word[:1]))):
            text += " "
        spans.append((len(text), len(text) + len(word)))
        text += word
    return text, spans


def _is_spaced_letter(character: str) -> bool:
    return character.isalpha() and not UNSPACED.match(character)


def _is_spaced(character: str) -> bool:
    return character.isalnum() and not UNSPACED.match(character)


def _compare(labeller: Labeller, chunk: Sequence[Example], path: Path) -> list[_Compared]:
    examples = [each for each in chunk if isinstance(each, TokenExample)]
    joined = [join_words(each.tokens) for each in examples]
    texts = [text for text, _ in joined]
    windows = labeller.tokenizer.encode_windows(texts)
    logits = labeller.infer(windows)
    heads = split_heads(labeller.labels) if labeller.task is Task.INTENT_SLOTS else None
    intents = [0] * len(examples)
    gold_intents = [0] * len(examples)
    if heads is not None:
        names = [each.label for each in find_intents(windows, logits, heads)]
        intents = [heads.intents.index(name) for name in names]
        gold_intents = [heads.intents.index(each.intent or "") for each in examples]
        logits = [row[:, heads.tag_columns] for row in logits]
    tokens = join_windows(texts, windows, logits, labeller.tokenizer)
    tags = split_tags(heads.tags if heads else labeller.labels)
    found = find_entities(texts, tokens, tags, Aggregation.FIRST)
    return [
        _Compared(
            gold=_by_character(text, _gold_spans(example, spans)),
            predicted=_by_character(text, [(e.start, e.end, e.label) for e in entities]),
            intent=gold_intent,
            predicted_intent=intent,
        )
        for (text, spans), example, entities, gold_intent, intent in zip(
            joined, examples, found, gold_intents, intents, strict=True
        )
    ]


def _gold_spans(example: TokenExample, words: Sequence[tuple[int, int]]) -> list[Span]:
    """Turn IOB2 tags into spans; a blank word is part of none."""
    spans: list[Span] = []
    kind = ""
    for tag, (start, end) in zip(example.tags or (), words, strict=True):
        if tag == OUTSIDE:
            kind = ""
        elif tag.startswith("I-") and tag[2:] == kind:
            spans[-1] = (spans[-1][0], end, kind)
        else:
            kind = tag.split("-", 1)[-1]
            spans.append((start, end, kind))
    return spans


def _by_character(text: str, spans: Sequence[Span]) -> list[str]:
    """Give each character an IOB2 tag, so that entities are equal where their spans are."""
    tags = [OUTSIDE] * max(len(text), 1)
    for start, end, kind in spans:
        if start < end:
            tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags


def _score_frames(labeller: Labeller, found: Sequence[_Compared], slots: Scores) -> FrameScores:
    gold, guess = (
        np.array(numbers)
        for numbers in zip(*((each.intent, each.predicted_intent) for each in found), strict=True)
    )
    right = [each.intent == each.predicted_intent and each.gold == each.predicted for each in found]
    return FrameScores(
        metric="frame_accuracy",
        value=float(np.mean(right)),
        intents=classification_scores(gold, guess, split_heads(labeller.labels).intents),
        slots=slots,
    )
