"""Accuracy, F1, entity F1 and rank correlation from plain arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.answers import AnswerScores

LARGEST_CONFUSION = 20
"""Labels; a larger matrix says nothing on a screen."""
SAME_VALUE = 0.05
"""Share of the spread of a model's values by which another may be off and still agree."""
Integers = NDArray[np.integer]
Floats = NDArray[np.floating]
_ROLES = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "W": "S", "U": "S"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScores:
    """How well one label, or one type of entity, is found."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    """How often it occurs in the gold labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of a model on labelled examples, each from 0 to 1."""

    metric: str
    """"accuracy", "micro_f1" (several labels a text), "entity_f1" or "masked_accuracy": what
    `value` is."""
    value: float
    accuracy: float
    """Of texts, or of words; of whole sets of labels where a text may have several."""
    macro_precision: float
    """Macro averages run over the classes that occur, in gold or predicted labels."""
    macro_recall: float
    macro_f1: float
    classes: tuple[ClassScores, ...]
    """In the order of the labels; entity types by name."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Rows gold, columns predicted; None for entities and for more than 20 labels."""
    perplexity: float | None = None
    """Of hidden words: exp of their mean cross entropy. None for labels."""


def mask_scores(gold: Integers, predicted: Integers, entropy: NDArray[np.float64]) -> Scores:
    """Score tokens found for hidden ones `(masks,)`, of which there are too many to list."""
    accuracy = float(np.mean(gold == predicted))
    return Scores(
        metric="masked_accuracy",
        value=accuracy,
        accuracy=accuracy,
        macro_precision=0.0,
        macro_recall=0.0,
        macro_f1=0.0,
        classes=(),
        confusion=None,
        perplexity=float(np.exp(min(float(np.mean(entropy)), 700.0))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueScores:
    """The scores of a model that gives each text a number."""

    metric: str
    """"spearman": what `value` is."""
    value: float
    pearson: float
    rmse: float | None
    """Root of the mean squared error, in the unit of the labels; None for cosines, which have
    another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameScores:
    """The scores of a model that finds the intent and the slots of each text."""

    metric: str
    """"frame_accuracy": what `value` is, the share of texts of which the intent and the tag of
    every word are right."""
    value: float
    intents: Scores
    slots: Scores


AnyScores = Scores | ValueScores | FrameScores | AnswerScores


def classification_scores(gold: Integers, predicted: Integers, labels: Sequence[str]) -> Scores:
    """Score label numbers `(examples,)`; a ratio whose denominator is 0 counts as 0."""
    gold, predicted = np.asarray(gold, np.int64), np.asarray(predicted, np.int64)
    if gold.ndim != 1 or gold.shape != predicted.shape or not gold.size:
        raise ValueError(f"cannot score {predicted.shape} labels against {gold.shape}")
    count = len(labels)
    for numbers in (gold, predicted):
        if numbers.min() < 0 or numbers.max() >= count:
            raise ValueError(f"label numbers must be in 0 to {count - 1}")
    right = gold == predicted
    offered = np.bincount(predicted, minlength=count)
    support = np.bincount(gold, minlength=count)
    found = np.bincount(gold[right], minlength=count)
    classes = _classes(labels, found=found, predicted=offered, support=support)
    occurring = [classes[number] for number in np.flatnonzero(offered + support)]
    confusion = None
    if count <= LARGEST_CONFUSION:
        pairs = np.bincount(gold * count + predicted, minlength=count * count)
        confusion = tuple(tuple(row) for row in pairs.reshape(count, count).tolist())
    return Scores(
        metric="accuracy",
        value=float(right.mean()),
        accuracy=float(right.mean()),
        macro_precision=_mean(scores.precision for scores in occurring),
        macro_recall=_mean(scores.recall for scores in occurring),
        macro_f1=_mean(scores.f1 for scores in occurring),
        classes=classes,
        confusion=confusion,
    )


def multi_label_scores(
    gold: NDArray[np.bool_], predicted: NDArray[np.bool_], labels: Sequence[str]
) -> Scores:
    """Score which labels each text has, `(examples, labels)`; `value` is the micro F1."""
    if gold.ndim != 2 or gold.shape != predicted.shape or gold.shape[1] != len(labels):
        raise ValueError(f"cannot score {predicted.shape} labels against {gold.shape}")
    if not len(gold):
        raise ValueError("there are no texts to score")
    found = np.count_nonzero(gold & predicted, axis=0)
    offered, support = np.count_nonzero(predicted, axis=0), np.count_nonzero(gold, axis=0)
    classes = _classes(labels, found=found, predicted=offered, support=support)
    occurring = [classes[number] for number in np.flatnonzero(offered + support)]
    given = int(offered.sum() + support.sum())
    return Scores(
        metric="micro_f1",
        value=2 * int(found.sum()) / given if given else 0.0,
        accuracy=float((gold == predicted).all(axis=1).mean()),
        macro_precision=_mean(scores.precision for scores in occurring),
        macro_recall=_mean(scores.recall for scores in occurring),
        macro_f1=_mean(scores.f1 for scores in occurring),
        classes=classes,
        confusion=None,
    )


def value_scores(gold: Floats, predicted: Floats) -> ValueScores:
    """Score numbers `(examples,)`; the correlation with a constant counts as 0."""
    gold, predicted = np.asarray(gold, np.float64), np.asarray(predicted, np.float64)
    if gold.ndim != 1 or gold.shape != predicted.shape or not gold.size:
        raise ValueError(f"cannot score {predicted.shape} values against {gold.shape}")
    return ValueScores(
        metric="spearman",
        value=_correlation(_ranks(gold), _ranks(predicted)),
        pearson=_correlation(gold, predicted),
        rmse=float(np.sqrt(np.mean((gold - predicted) ** 2))),
    )


def similarity_scores(gold: Floats, vectors: Floats) -> ValueScores:
    """Score the cosines of pairs of embeddings `(pairs, 2, hidden)` against values `(pairs,)`."""
    found = value_scores(gold, cosines(vectors[:, 0], vectors[:, 1]))
    return replace(found, rmse=None)


def cosines(one: Floats, other: Floats) -> Floats:
    """Give the cosine of each vector with its counterpart; 0 where one of them is 0."""
    return np.asarray((unit(one) * unit(other)).sum(axis=-1))


def unit(vectors: Floats) -> Floats:
    """Divide vectors by their lengths, those of length 0 excepted."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1))


def agreement(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Share of predictions of `one` that `other` gives too, from 0 to 1.

    Label numbers `(n,)` must be equal. Of sets of labels `(n, labels)` it is the micro F1 of one
    against the other, which for sets of one label is that very share. Values `(n,)` must be
    within SAME_VALUE of the spread (max - min) of those of `one`. Of embeddings
    `(n, texts, hidden)` it is their mean cosine.
    """
    if one.ndim == 3:
        return float(cosines(one, other).mean())
    match one.dtype.kind:
        case "b":
            given = int(one.sum() + other.sum())
            return 2 * int((one & other).sum()) / given if given else 1.0
        case "f":
            same = np.abs(one - other) <= SAME_VALUE * (one.max() - one.min())
        case _:
            same = one == other
    return float(np.mean(same))


def entity_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Scores:
    """Score tags by exact entities, as conlleval does (and seqeval by default).

    An entity begins at B- or S-, and at any other tag that follows O, another type or an E-, so
    that IOB1, IOB2, BIOES, BMES and BILOU are read alike, ill-formed ones too. A tag without a
    prefix counts as I-. `value` is the micro F1; classes are the types that occur.
    """
    if not any(gold) and not any(predicted):
        raise ValueError("there are no words to score")
    tagged = _read_tags(gold, predicted)
    words = len(tagged.truth) - len(gold)
    kinds, truth, guess = tagged.kinds, tagged.truth, tagged.guess
    classes = _classes(
        tagged.types,
        found=np.bincount(kinds[truth][tagged.right], minlength=len(tagged.types)),
        predicted=np.bincount(kinds[guess][tagged.guess_ends > 0], minlength=len(tagged.types)),
        support=np.bincount(kinds[truth][tagged.truth_ends > 0], minlength=len(tagged.types)),
    )
    entities = np.count_nonzero(tagged.truth_ends) + np.count_nonzero(tagged.guess_ends)
    return Scores(
        metric="entity_f1",
        value=2 * int(np.count_nonzero(tagged.right)) / int(entities) if entities else 0.0,
        accuracy=1 - int(np.count_nonzero(truth != guess)) / words,
        macro_precision=_mean(scores.precision for scores in classes),
        macro_recall=_mean(scores.recall for scores in classes),
        macro_f1=_mean(scores.f1 for scores in classes),
        classes=classes,
        confusion=None,
    )


def entity_counts(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> NDArray[np.int64]:
    """Count the entities of each text that are in both, in `predicted`, in `gold` `(texts, 3)`.

    Tags are read as `entity_scores` reads them. A text has the same whole list of entities where
    its three counts are equal.
    """
    tagged = _read_tags(gold, predicted)
    text = np.repeat(np.arange(len(gold)), [len(tags) + 1 for tags in gold])
    found = (tagged.right, tagged.guess_ends > 0, tagged.truth_ends > 0)
    return np.stack([np.bincount(text[each], minlength=len(gold)) for each in found], axis=1)


def entity_agreement(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> float:
    """Return the F1 of the entities of one model's tags against another's; 1 where none has any.

    Most words are outside of entities, so that the share of words with the same tag says little.
    """
    same, first, second = entity_counts(one, other).sum(axis=0).tolist()
    return 2 * same / (first + second) if first + second else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tagged:
    """Gold and predicted tags of all texts in turn, an O after each text."""

    types: list[str]
    kinds: Integers
    """Number of each tag's type `(tags,)`; -1 for O."""
    truth: Integers
    """Tags `(words,)`."""
    guess: Integers
    truth_ends: NDArray[np.int64]
    """As `_ends` gives them."""
    guess_ends: NDArray[np.int64]
    right: NDArray[np.bool_]
    """Where an entity begins that both have."""


def _read_tags(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> _Tagged:
    if [len(tags) for tags in gold] != [len(tags) for tags in predicted]:
        raise ValueError("gold and predicted tags differ in length")
    # The O after each sentence keeps an entity from running into the next sentence.
    gold_tags = list(chain.from_iterable((*tags, "O") for tags in gold))
    predicted_tags = list(chain.from_iterable((*tags, "O") for tags in predicted))
    vocabulary = {tag: number for number, tag in enumerate({*gold_tags, *predicted_tags})}
    parts = [_split(tag) for tag in vocabulary]
    types = sorted({kind for role, kind in parts if role != "O"})
    numbers = {kind: number for number, kind in enumerate(types)}
    roles = np.array([role for role, _ in parts])
    kinds = np.array([numbers.get(kind, -1) for _, kind in parts])
    truth, guess = (np.array([vocabulary[tag] for tag in t]) for t in (gold_tags, predicted_tags))
    truth_ends, guess_ends = (_ends(roles[tags], kinds[tags]) for tags in (truth, guess))
    return _Tagged(
        types=types,
        kinds=kinds,
        truth=truth,
        guess=guess,
        truth_ends=truth_ends,
        guess_ends=guess_ends,
        right=(truth_ends > 0) & (truth_ends == guess_ends) & (kinds[truth] == kinds[guess]),
    )


def _split(tag: str) -> tuple[str, str]:
    """Return the role (B, I, E, S or O) and the type of a tag."""
    if tag == "O":
        return "O", ""
    prefix, dash, kind = tag.partition("-")
    return (_ROLES[prefix], kind) if dash and prefix in _ROLES else ("I", tag)


def _ends(roles: NDArray[np.str_], kinds: Integers) -> NDArray[np.int64]:
    """Return, where an entity begins, one past its last word, and 0 elsewhere `(words,)`.

    The last tag must be O.
    """
    inside = roles != "O"
    begins = inside.copy()
    begins[1:] &= (
        np.isin(roles[1:], ("B", "S"))
        | np.isin(roles[:-1], ("E", "S", "O"))
        | (kinds[1:] != kinds[:-1])
    )
    borders = np.flatnonzero(begins | ~inside)
    ends = np.zeros(len(roles), np.int64)
    ends[borders[:-1]] = borders[1:]
    ends[~begins] = 0
    return ends


def _classes(
    labels: Sequence[str], *, found: Integers, predicted: Integers, support: Integers
) -> tuple[ClassScores, ...]:
    rows = zip(labels, found.tolist(), predicted.tolist(), support.tolist(), strict=True)
    return tuple(
        ClassScores(
            label=label,
            precision=right / offered if offered else 0.0,
            recall=right / there if there else 0.0,
            f1=2 * right / (offered + there) if offered + there else 0.0,
            support=there,
        )
        for label, right, offered, there in rows
    )


def _correlation(one: Floats, other: Floats) -> float:
    """Pearson's r."""
    one, other = one - one.mean(), other - other.mean()
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.clip(one @ other / norm, -1, 1)) if norm > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    """Rank from 0; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[place], np.float64)


def _mean(values: Iterable[float]) -> float:
    taken = list(values)
    return sum(taken) / len(taken) if taken else 0.0
