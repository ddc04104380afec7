"""Texts whose words have a tag each, which make entities.

How tokens become entities follows `TokenClassificationPipeline` of transformers 4.57, whose answers
it equals for every text that fits the model.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import DataError, SettingError
from bertedge.predictions import Entities, Entity
from bertedge.runtime.encoding import Encoded, best_context, by_text
from bertedge.runtime.logits import Floats, softmax
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import OUTSIDE, Aggregation, DecisionRule, ModelSpec, ProblemType, Text
from bertedge.tasks import contract
from bertedge.tasks.contract import (
    AgreementBounds,
    Judged,
    LabelledRows,
    Outputs,
    PredictOptions,
    TrainingRows,
    no_top_k,
    unknown_label,
)
from bertedge.tasks.judged_tags import judge_tags

if TYPE_CHECKING:
    from bertedge.data import ExampleFile
    from bertedge.data.example import Example
    from bertedge.data.labels import Survey
    from bertedge.metrics import Baseline, Scores

Ints = NDArray[np.int64]

AUTO_MODEL = "AutoModelForTokenClassification"
HEADS: tuple[str, ...] = ("ForTokenClassification",)
ONNX_TASK = "token-classification"
BOUNDS = AgreementBounds(good=0.99, least=0.96, unit="entities")
"""F1 of the entities of one model against another's: an entity is some words, each of which may
differ."""
IGNORED = -100
"""The label that PyTorch's cross entropy leaves out."""

check, keep = contract.no_check, contract.keep_all
decide, choose_threshold = contract.no_rule, contract.no_threshold


def metric(rule: DecisionRule) -> str:
    """Return the name of what `score` calls its value."""
    return "entity_f1"


# Predicting.


def settle(options: PredictOptions) -> PredictOptions:
    """Take the label of a word's first token where nothing is said; SettingError."""
    no_top_k(options)
    return PredictOptions(aggregation=settle_aggregation(options.aggregation))


def settle_aggregation(aggregation: Aggregation | str | None) -> Aggregation:
    """Return the aggregation; SettingError where there is none of the name."""
    try:
        return Aggregation(aggregation or Aggregation.FIRST)
    except ValueError:
        raise SettingError(
            f"aggregation is {aggregation!r}; choose one of {', '.join(Aggregation)}"
        ) from None


def encode(tokenizer: Tokenizer, inputs: Sequence[Text], first: int) -> list[Encoded]:
    """Return the windows of each text."""
    return tokenizer.encode_windows(cast("Sequence[str]", inputs))


def decode(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    inputs: Sequence[Text],
    rows: Sequence[Encoded],
    logits: Sequence[Floats],
    options: PredictOptions,
) -> Iterator[Entities]:
    """Yield the entities of each text."""
    tags = split_tags(spec.labels)
    assert isinstance(options.aggregation, Aggregation)
    texts = cast("Sequence[str]", inputs)
    yield from entities_of(tokenizer, texts, rows, logits, tags, options.aggregation)


def entities_of(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    windows: Sequence[Encoded],
    logits: Sequence[Floats],
    tags: Tags,
    aggregation: Aggregation,
) -> Iterator[Entities]:
    """Yield the entities of each text from the logits `(sequence, tags)` of its windows."""
    tokens = join_windows(texts, windows, logits, tokenizer)
    counts = np.bincount([window.text for window in windows], minlength=len(texts)).tolist()
    found = find_entities(texts, tokens, tags, aggregation)
    for entities, count in zip(found, counts, strict=True):
        yield Entities(entities=entities, windows=count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """The token labels of a model, split; every array and tuple has one entry a label."""

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


@functools.lru_cache(maxsize=64)
def split_tags(labels: tuple[str, ...]) -> Tags:
    """Split token labels into prefix and type.

    One without `B-` or `I-` continues a neighbour of its own kind.
    """
    kinds = [label[2:] if label[:2] in ("B-", "I-") else label for label in labels]
    return Tags(
        labels=labels,
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
    """Return every token of every text once, from the window that shows it in most context."""
    text, offsets, kept, continues = [], [], [], []
    for index, own, answers in by_text(windows, logits):
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
    """Return the scores of each word `(words, labels)`, which begins at token `first`."""
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
    """Return where a value is not that of its left neighbour; the first never is."""
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


# Labelled data.


def encode_labelled(
    spec: ModelSpec, tokenizer: Tokenizer, examples: Sequence[Example], path: Path
) -> LabelledRows:
    """Tokenize words; gold is an array of label numbers a text."""
    return LabelledRows(
        rows=tokenizer.encode_words(words_of(examples)),
        gold=gold_labels(spec.labels, examples, path),
        keep=lambda _, logits: logits.argmax(axis=-1),
    )


def words_of(examples: Sequence[Example]) -> list[tuple[str, ...]]:
    """Return the words of each example."""
    from bertedge.data.example import TokenExample  # predicting needs none

    return [example.tokens for example in examples if isinstance(example, TokenExample)]


def gold_labels(labels: Sequence[str], examples: Sequence[Example], path: Path) -> list[Ints]:
    """Return the label numbers of each example; DataError for one that is none of the model's."""
    from bertedge.data.example import TokenExample  # predicting needs none

    numbers = {name: number for number, name in enumerate(labels)}
    gold = []
    for example in examples:
        assert isinstance(example, TokenExample)
        try:
            gold.append(np.array([numbers[name] for name in example.names], np.int64))
        except KeyError:
            where = f"{path}:{example.line}"
            raise unknown_label(where, example.names, labels) from None
    return gold


def outputs(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    labelled: LabelledRows,
    logits: Sequence[NDArray[Any]],
) -> Outputs:
    """Return the label of each word, that of its first piece."""
    outside = spec.labels.index(OUTSIDE) if OUTSIDE in spec.labels else 0
    found = word_labels(words_of(examples), labelled.rows, logits, outside)
    return Outputs(gold=labelled.gold, answers=found, rows=len(examples), truncated=0)


def word_labels(
    texts: Sequence[Sequence[str]],
    windows: Sequence[Encoded],
    best: Sequence[NDArray[Any]],
    outside: int,
) -> list[Ints]:
    """Return the label of each word of each text: that of its first piece.

    `best` has a label number a token of each window; a word without any piece is `outside`.
    """
    return [found.astype(np.int64) for found in _of_first_piece(texts, windows, best, outside)]


def _of_first_piece(
    texts: Sequence[Sequence[str]],
    windows: Sequence[Encoded],
    of_tokens: Sequence[NDArray[Any]],
    missing: float,
) -> list[NDArray[np.float64]]:
    found = [np.full(len(words), missing) for words in texts]
    for text, own, values in by_text(windows, of_tokens):
        kept = best_context(own)
        word_ids = np.concatenate([row.word_ids[keep] for row, keep in zip(own, kept, strict=True)])
        pieces = np.concatenate([each[keep] for each, keep in zip(values, kept, strict=True)])
        words, first = np.unique(word_ids, return_index=True)
        found[text][words] = pieces[first]
    return found


def judge(
    spec: ModelSpec, examples: Sequence[Example], labelled: LabelledRows, logits: Sequence[Floats]
) -> Iterator[Judged]:
    """Compare entities."""
    texts = words_of(examples)
    found, scores = scored_labels(texts, labelled.rows, logits, spec.labels)
    for words, right, said, sure in zip(
        texts, tags_of(spec.labels, labelled.gold), tags_of(spec.labels, found), scores, strict=True
    ):
        yield judge_tags(words, right, said, sure)


def scored_labels(
    texts: Sequence[Sequence[str]],
    windows: Sequence[Encoded],
    logits: Sequence[Floats],
    labels: Sequence[str],
) -> tuple[list[Ints], list[NDArray[np.float64]]]:
    """Return the label number of each word of each text, and its softmax probability."""
    outside = labels.index(OUTSIDE) if OUTSIDE in labels else 0
    scores = [softmax(each).max(axis=-1) for each in logits]
    best = word_labels(texts, windows, [each.argmax(axis=-1) for each in logits], outside)
    return best, _of_first_piece(texts, windows, scores, 1.0)


def score(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> Scores:
    """Score label numbers, an array a text."""
    from bertedge.metrics import entity_scores

    return entity_scores(tags_of(spec.labels, gold), tags_of(spec.labels, predicted))


def contributions(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    """Return each text's part of the entity F1 `(texts, 2)`."""
    from bertedge.metrics import entity_counts

    counts = entity_counts(tags_of(spec.labels, gold), tags_of(spec.labels, predicted))
    return np.stack([2 * counts[:, 0], counts[:, 1:].sum(axis=1)], axis=1).astype(float)


def baseline(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> Baseline:
    """Score finding no entity."""
    from bertedge.metrics import Baseline

    outside = spec.labels.index(OUTSIDE) if OUTSIDE in spec.labels else -1
    truth, found = np.concatenate(gold), np.concatenate(predicted)
    nothing = bool((found == outside).all()) and not bool((truth == outside).all())
    return Baseline(
        answer=OUTSIDE,
        value=0.0,
        accuracy=float((truth == outside).mean()),
        always=OUTSIDE if nothing else None,
    )


def tags_of(labels: Sequence[str], numbers: Sequence[NDArray[Any]]) -> list[list[str]]:
    """Return the names of label numbers, a list a text."""
    names = np.array(labels)
    return [names[row].tolist() for row in numbers]


# Training.


def labels_of(examples: ExampleFile, survey: Survey, rule: DecisionRule) -> tuple[str, ...]:
    """Return O, then B- and I- of each entity type in the file; DataError where there is none."""
    from bertedge.data.labels import check_several

    return check_several(examples, iob2_labels(examples, set(survey.counts)), 2)


def iob2_labels(examples: ExampleFile, found: set[str]) -> list[str]:
    """Return the labels of a tagger in the model's order; DataError where tags are mere numbers."""
    if ids := [tag for tag in found if tag.isdigit()]:
        raise DataError(
            f"{examples.path} has numbers for tags, such as {min(ids)}, whose names it does not "
            'hold; give them with --label-map FILE: {"0": "O", "1": "B-PER", …}'
        )
    kinds = sorted({tag[2:] for tag in found if tag != OUTSIDE})
    return [OUTSIDE, *(f"{side}-{kind}" for kind in kinds for side in "BI")]


def training_row(
    example: Example, number: dict[str, int], problem_type: ProblemType, *, scored: bool
) -> dict[str, Any]:
    """Return the words and their label numbers."""
    from bertedge.data.example import TokenExample  # predicting needs none

    assert isinstance(example, TokenExample)
    return {"tokens": list(example.tokens), "names": [number[name] for name in example.names]}


def encode_training(
    tokenizer: Tokenizer, batch: dict[str, list[Any]], numbers: Sequence[int]
) -> TrainingRows:
    """Tokenize words; the first piece of each has its tag, all other pieces are ignored."""
    rows = tokenizer.encode_words(batch["tokens"])
    names = [np.asarray(row, dtype=np.int64) for row in batch["names"]]
    return TrainingRows(rows=rows, labels=[piece_labels(row, names[row.text]) for row in rows])


def piece_labels(row: Encoded, tags: Ints) -> Ints:
    """Return a label a token `(sequence,)`: its tag for the first piece of a word, else IGNORED.

    Where a window continues a text, its first word may have begun in the window before.
    """
    labels = np.full(len(row.ids), IGNORED, dtype=np.int64)
    pieces = np.flatnonzero(row.word_ids >= 0)
    words, first = np.unique(row.word_ids[pieces], return_index=True)
    skip = 1 if row.first > 0 else 0
    labels[pieces[first][skip:]] = tags[words[skip:]]
    return labels


def training_scores(
    spec: ModelSpec, gold: NDArray[Any], logits: Any, dev: tuple[Tokenizer, ExampleFile]
) -> Scores:
    """Score the first pieces of words."""
    kept = gold != IGNORED
    best = logits.argmax(axis=-1)
    return score(spec, select_each(gold, kept), select_each(best, kept))


def select_each(numbers: NDArray[Any], kept: NDArray[np.bool_]) -> list[NDArray[Any]]:
    """Return what is kept of each row."""
    return [row[own] for row, own in zip(numbers, kept, strict=True)]
