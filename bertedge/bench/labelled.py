"""Labelled texts of the data, and what an engine's labels of them are worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.bench.config import FILLS_MASKS
from bertedge.bench.spans import span_of
from bertedge.bench.workloads import draw, text_of
from bertedge.data import (
    Columns,
    Example,
    ExampleFile,
    QuestionExample,
    TextExample,
    TokenExample,
)
from bertedge.data.labels import check_known, with_label_map
from bertedge.errors import DataError, SettingError
from bertedge.evaluation import score_frames
from bertedge.metrics import (
    FrameScores,
    Scores,
    classification_scores,
    entity_counts,
    entity_scores,
)
from bertedge.metrics.squad import FOUND, AnswerScores, exact_match, f1, score_answers
from bertedge.spec import OUTSIDE, DecisionRule, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledTexts:
    """Examples with their labels, as texts that any engine can be given."""

    data: str
    """Name of the file."""
    task: Task
    labels: tuple[str, ...]
    """The model's, by id."""
    examples: tuple[Example, ...]

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """The texts; words are joined with spaces."""
        return tuple(text_of(example) for example in self.examples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What an engine's labels came to."""

    scores: Scores | FrameScores | AnswerScores
    names: NDArray[np.str_]
    """The label of each text, or of each word of all texts in turn; an intent before its words;
    the span of each answer."""
    parts: NDArray[np.float64]
    """What each text adds to the numerator and the denominator of the metric `(texts, 2)`."""
    tags: tuple[tuple[str, ...], ...] = ()
    """Of the words of each text, an intent before them; empty where texts are labelled whole."""


def draw_labelled(  # noqa: PLR0913 (how the file is read, and what of it)
    data: Path,
    task: Task,
    columns: Columns,
    labels: tuple[str, ...],
    *,
    count: int,
    seed: int,
    trained: Columns = Columns(),  # noqa: B008 (frozen)
    label_map: Mapping[str, str] | None = None,
) -> LabelledTexts:
    """Draw `count` examples; DataError where the file has no labels, or none the model knows."""

    def match(file: ExampleFile) -> ExampleFile:
        file = with_label_map(file, label_map or {})
        words = task is Task.TOKEN_CLASSIFICATION
        return file if words else check_known(file, labels, DecisionRule())

    examples = draw(
        data,
        task,
        columns,
        labelled=True,
        pair=None,
        count=count,
        seed=seed,
        trained=trained,
        match=match,
    )
    whole = [e for e in examples if not isinstance(e, TokenExample) or e.intent]
    unknown = {name for each in whole for name in each.names} - set(labels)
    if unknown:
        raise DataError(f"the model does not know the label {min(unknown)!r}")
    return LabelledTexts(data=data.name, task=task, labels=labels, examples=tuple(examples))


def score(texts: LabelledTexts, predicted: Sequence[int], tokenizer_json: str) -> Scored | None:
    """Score label ids of texts, or of their tokens; None where there are not as many as due."""
    if texts.task is Task.QUESTION_ANSWERING:
        return _score_answers(texts, predicted)
    names = np.array([*texts.labels, OUTSIDE])  # -1, a token that was not read, finds the last one
    given = names[np.clip(np.asarray(predicted, np.int64), -1, len(texts.labels))]
    match texts.task:
        case Task.TEXT_CLASSIFICATION:
            return _score_texts(texts, given)
        case Task.TOKEN_CLASSIFICATION:
            return _score_words(texts, given, tokenizer_json)
        case Task.INTENT_SLOTS:
            return _score_frames(texts, given, tokenizer_json)
        case _:
            raise SettingError(FILLS_MASKS)


def _score_answers(texts: LabelledTexts, predicted: Sequence[int]) -> Scored | None:
    if len(predicted) != len(texts.examples):
        return None
    found = np.zeros(len(predicted), FOUND)
    for row, example, number in zip(found, texts.examples, predicted, strict=True):
        assert isinstance(example, QuestionExample)
        start, end = span_of(number)
        answer = example.context[start:end]
        row["exact"], row["f1"] = exact_match(answer, example.gold), f1(answer, example.gold)
        row["impossible"] = not example.gold
    return Scored(
        scores=score_answers(found, None),
        names=np.array(predicted, np.str_),
        parts=_means(found["f1"]),
    )


def _score_texts(texts: LabelledTexts, given: NDArray[np.str_]) -> Scored | None:
    gold = [each.label for each in texts.examples if isinstance(each, TextExample)]
    if len(given) != len(gold) or not set(given.tolist()) <= set(texts.labels):
        return None
    ids = {name: number for number, name in enumerate(texts.labels)}
    scores = classification_scores(
        np.array([ids[str(name)] for name in gold]),
        np.array([ids[name] for name in given.tolist()]),
        texts.labels,
    )
    right = given == np.array([str(name) for name in gold])
    return Scored(scores=scores, names=given, parts=_means(right))


def _means(values: NDArray[Any]) -> NDArray[np.float64]:
    """Lay out values `(texts,)` whose mean is the metric."""
    return np.stack([values.astype(np.float64), np.ones(len(values))], axis=1)


def same_lists(
    one: Sequence[Sequence[str]], other: Sequence[Sequence[str]], task: Task
) -> NDArray[np.bool_]:
    """Tell of each text whether tags give the same whole list of entities, and the same intent.

    An intent stands before the tags of its text; -1, a token that was not read, is O in both.
    """
    first = 1 if task is Task.INTENT_SLOTS else 0
    counts = entity_counts([row[first:] for row in one], [row[first:] for row in other])
    intents = [tuple(a[:first]) == tuple(b[:first]) for a, b in zip(one, other, strict=True)]
    same: NDArray[np.bool_] = (counts == counts[:, :1]).all(axis=1) & np.array(intents, np.bool_)
    return same


def count_tokens(texts: Sequence[tuple[str, ...]], tokenizer_json: str) -> list[int]:
    """Count the tokens of each text, special tokens left out."""
    return [len(row.ids) for row in _encode(texts, tokenizer_json)]


def _encode(texts: Sequence[tuple[str, ...]], tokenizer_json: str) -> list[Any]:
    """Encode whole texts as `tokenizers` does, special tokens left out."""
    import tokenizers  # type: ignore[import-untyped]

    native = tokenizers.Tokenizer.from_str(tokenizer_json)
    native.no_truncation()
    native.no_padding()
    rows = native.encode_batch([text for (text,) in texts], add_special_tokens=False)
    return list(rows)


def _score_words(
    texts: LabelledTexts, given: NDArray[np.str_], tokenizer_json: str
) -> Scored | None:
    rows = _word_labels(texts, given, tokenizer_json, before=0)
    if rows is None:
        return None
    gold = [list(example.names) for example in texts.examples]
    right, found, true = entity_counts(gold, rows).T
    return Scored(
        scores=entity_scores(gold, rows),
        names=np.array([name for row in rows for name in row]),
        parts=np.stack([2.0 * right, found + true], axis=1),
        tags=tuple(tuple(row) for row in rows),
    )


def _score_frames(
    texts: LabelledTexts, given: NDArray[np.str_], tokenizer_json: str
) -> Scored | None:
    rows = _word_labels(texts, given, tokenizer_json, before=1)
    numbers = {name: number for number, name in enumerate(texts.labels)}
    if rows is None or not {name for row in rows for name in row} <= numbers.keys():
        return None
    gold = [np.array([numbers[name] for name in example.names]) for example in texts.examples]
    found = [np.array([numbers[name] for name in row]) for row in rows]
    right = np.array([np.array_equal(*pair) for pair in zip(gold, found, strict=True)])
    return Scored(
        scores=score_frames(gold, found, texts.labels),
        names=np.array([name for row in rows for name in row]),
        parts=_means(right),
        tags=tuple(tuple(row) for row in rows),
    )


def _word_labels(
    texts: LabelledTexts, given: NDArray[np.str_], tokenizer_json: str, *, before: int
) -> list[list[str]] | None:
    """Give each word the label of its first token, one without any O.

    So many labels of the whole text come `before`; they are kept. None where there are not as many
    labels as due.
    """
    rows = _encode(texts.texts, tokenizer_json)
    if len(given) != sum(before + len(row.ids) for row in rows):
        return None
    found, place = [], 0
    for example, row in zip(texts.examples, rows, strict=True):
        assert isinstance(example, TokenExample)
        whole, place = given[place : place + before], place + before
        labels, place = given[place : place + len(row.ids)], place + len(row.ids)
        found.append([*whole.tolist(), *_first_labels(example.tokens, row.offsets, labels)])
    return found


def _first_labels(
    words: Sequence[str], offsets: Sequence[tuple[int, int]], labels: NDArray[np.str_]
) -> list[str]:
    starts = np.array([start for start, _ in offsets], np.int64)
    found, begin = [], 0
    for word in words:
        token = int(np.searchsorted(starts, begin))
        inside = token < len(starts) and starts[token] < begin + max(len(word), 1)
        found.append(str(labels[token]) if inside else OUTSIDE)
        begin += len(word) + 1
    return found
