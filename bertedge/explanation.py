"""Which words drove a label: each is left out in turn, and the label's probability is compared.

This is occlusion, or leave-one-out (Zeiler & Fergus 2014, section 2; for texts Li, Monroe &
Jurafsky 2016, "Understanding Neural Networks through Representation Erasure", eq. 1), with the
difference of probabilities for the weight. It needs no gradients: any engine can run it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import SettingError, shorten
from bertedge.joint_labels import split_labels
from bertedge.model import TextModel
from bertedge.predictions import DIGITS, Prediction, Result
from bertedge.runtime.logits import softmax
from bertedge.spec import LabelKind, Text
from bertedge.tasks.text_classification import VALUE, probabilities
from bertedge.unspaced import UNSPACED, split_words

MOST_WORDS = 512
"""Words of an input that are left out in turn."""
MOST_NAMED = 8
_JOINER = re.compile(r"['\u2019\u2010-]")
"""What joins letters to one word: an apostrophe, a hyphen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordWeight(Result):
    """A word, and what it does to the score of the label that is explained.

    Examples:
        >>> import bertedge
        >>> found = bertedge.load("bundles/mine").explain("play some jazz")
        >>> found.words[0].word, found.words[0].start, found.words[0].end
        ('play', 0, 4)
    """

    word: str
    start: int
    """First character, counted in the caller's own string."""
    end: int
    """One past the last character."""
    weight: float
    """The score with the word minus the score without it: above 0 for a word that speaks for the
    label. Of values, the difference of the value."""
    part: int = 0
    """Which text of a pair it is in, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Result):
    """A prediction, and the weight of each word in it.

    Examples:
        >>> import bertedge
        >>> found = bertedge.load("bundles/mine").explain("play some jazz")
        >>> found.label, [each.word for each in found.words]
        ('music_play', ['play', 'some', 'jazz'])
    """

    prediction: Prediction
    label: str
    """What is explained: the best label, or the one that was asked for; "value" of values."""
    score: float
    """Its probability, or the value, with all words."""
    words: tuple[WordWeight, ...]
    """From left to right, the first text of a pair before the second."""
    left_out: int = 0
    """How many words, behind the first 512, have no weight."""

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction's own fields, and `explains`, `explanation` and `left_out`."""
        return self.prediction.to_dict() | {
            "explains": {"label": self.label, "score": round(self.score, DIGITS)},
            "explanation": [each.to_dict() for each in self.words],
            "left_out": self.left_out,
        }


def explain(model: TextModel, text: Text, label: str | None = None) -> Explanation:
    """Compute what each word of a text, or a pair, does to the score of its label.

    `label` is explained instead of the best one. Texts with one word less each go through the
    model together. Raises SettingError for a task that does not label whole texts and for an
    unknown label, DataError for what is no input of the model.
    """
    names = _labels(model)
    if label is not None and label not in names:
        known = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
        raise SettingError(f"the model has no label {shorten(repr(label))}; it has {known}")
    (prediction,) = model.predict([text])
    said: dict[str, float] = getattr(prediction, "scores", {names[0]: 0.0})
    parts = (text,) if isinstance(text, str) else text
    found = [(part, *span) for part, own in enumerate(parts) for span in find_words(own)]
    kept = found[:MOST_WORDS]
    inputs = [text, *(_without(parts, *place) for place in kept)]
    scores = _scores(model, inputs)
    # What is explained is what `predict` says, also where batches move scores a little.
    column = names.index(max(said, key=said.__getitem__) if label is None else label)
    weights = scores[0, column] - scores[1:, column]
    return Explanation(
        prediction=prediction,
        label=names[column],
        score=float(scores[0, column]),
        words=tuple(
            WordWeight(
                word=parts[part][start:end], start=start, end=end, weight=float(weight), part=part
            )
            for (part, start, end), weight in zip(kept, weights.tolist(), strict=True)
        ),
        left_out=len(found) - len(kept),
    )


def find_words(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each word that is left out as one.

    Words as BERT's tokenizer parts them before word pieces, so that a sign of punctuation and a
    character of a script without spaces are one each; but what a hyphen or an apostrophe joins is
    one word: don't, well-known.
    """
    spans = list(split_words(text))
    place = 0
    while place < len(spans):
        start, end = spans[place]
        while place + 2 < len(spans) and _joined(text, spans[place : place + 3]):
            place += 2
            end = spans[place][1]
        yield start, end
        place += 1


def _joined(text: str, spans: Sequence[tuple[int, int]]) -> bool:
    before, sign, after = spans
    touch = before[1] == sign[0] and sign[1] == after[0]
    ends = (text[before[1] - 1], text[after[0]])
    letters = all(each.isalnum() and not UNSPACED.match(each) for each in ends)
    return touch and letters and bool(_JOINER.fullmatch(text[sign[0] : sign[1]]))


def _without(parts: Sequence[str], part: int, start: int, end: int) -> Text:
    """Return the input without a word, nor the space before it (behind it, of the first)."""
    own = parts[part]
    if start and own[start - 1].isspace():
        start -= 1
    elif not start and end < len(own) and own[end].isspace():
        end += 1
    changed = own[:start] + own[end:]
    return changed if len(parts) == 1 else (*parts[:part], changed, *parts[part + 1 :])


def _labels(model: TextModel) -> tuple[str, ...]:
    match model.spec.task.labels_are:
        case LabelKind.CLASSES:
            return model.spec.labels or (VALUE,)
        case LabelKind.INTENT_AND_TAGS:
            return split_labels(model.spec.labels).intents
    raise SettingError(
        f"this model is for {model.spec.task}; only labels of whole texts are explained word by "
        "word (text-classification, and the intent of intent-slots)"
    )


def _scores(model: TextModel, inputs: Sequence[Text]) -> NDArray[np.float32]:
    """Return the scores of the labels `(inputs, labels)`; of intents those of the first window."""
    rows = [row for row in model.encode(inputs) if row.first == 0]
    if model.spec.task.labels_are is LabelKind.CLASSES:
        return probabilities(np.stack(model.infer(rows)), model.spec.rule)
    columns = split_labels(model.spec.labels).intent_columns
    return softmax(np.stack(model.infer(rows, keep=lambda _, found: found[0, columns])))
