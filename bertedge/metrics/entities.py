"""Entity F1 by exact spans, as conlleval counts them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from bertedge.metrics.classification import Counts, Integers, Scores, scores_of

# What each prefix does: begin an entity, go on in it, go on and end it, or be all of it.
# IOB1, IOB2, I-only: B I. BIOES: B I E S. BMES, BMEWO: B M E S W. BILOU: B I L U.
ROLES = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "W": "S", "U": "S"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameScores:
    """The scores of a model that finds the intent and the slots of each text."""

    metric: str
    """"frame_accuracy": what `value` is, the share of texts of which the intent and the tag of
    every word are right."""
    value: float
    intents: Scores
    slots: Scores


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
    counts = Counts(
        labels=tagged.types,
        found=np.bincount(kinds[truth][tagged.right], minlength=len(tagged.types)),
        predicted=np.bincount(kinds[guess][tagged.guess_ends > 0], minlength=len(tagged.types)),
        support=np.bincount(kinds[truth][tagged.truth_ends > 0], minlength=len(tagged.types)),
    )
    entities = np.count_nonzero(tagged.truth_ends) + np.count_nonzero(tagged.guess_ends)
    return scores_of(
        counts,
        metric="entity_f1",
        value=2 * int(np.count_nonzero(tagged.right)) / int(entities) if entities else 0.0,
        accuracy=1 - int(np.count_nonzero(truth != guess)) / words,
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
    return (ROLES[prefix], kind) if dash and prefix in ROLES else ("I", tag)


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
