"""The closed set of tasks, and the typed prediction of each."""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Task(StrEnum):
    """A task, by its Hugging Face name."""

    TEXT_CLASSIFICATION = "text-classification"
    TOKEN_CLASSIFICATION = "token-classification"
    FILL_MASK = "fill-mask"
    FEATURE_EXTRACTION = "feature-extraction"
    QUESTION_ANSWERING = "question-answering"
    INTENT_SLOTS = "intent-slots"
    """No name of Hugging Face's: a token classifier whose labels `bertedge.heads` parts."""

    @property
    def tags_words(self) -> bool:
        """True where words have tags, and texts are read in windows, so that none is cut."""
        return self in (Task.TOKEN_CLASSIFICATION, Task.INTENT_SLOTS)

    @property
    def gives_a_row_a_token(self) -> bool:
        """True where a text has logits for each of its tokens, not for itself."""
        return self.tags_words or self in (Task.QUESTION_ANSWERING, Task.FILL_MASK)


class ProblemType(StrEnum):
    """What the logits of a text classifier stand for, by the names in Hugging Face configs."""

    SINGLE_LABEL = "single_label_classification"
    MULTI_LABEL = "multi_label_classification"
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How the logits of a text become its prediction; token labels have no such choice."""

    problem_type: ProblemType = ProblemType.SINGLE_LABEL
    temperature: float = 1.0
    """What logits are divided by before they become scores; it changes no order of labels."""
    threshold: float | None = None
    """The least score of a label that is given; None: the best label is, however low. Of a
    question: how far the score of no answer may be above the best answer's; None: any."""
    out_of_scope: str | None = None
    """The label of a text for which no label reaches the threshold; not one of the model's."""


class PoolingMode(StrEnum):
    """Which hidden states of a text its embedding is made of."""

    MEAN = "mean"
    CLS = "cls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling:
    """How the last hidden states of a text become its embedding, inside the graph."""

    mode: PoolingMode = PoolingMode.MEAN
    """The mean over its tokens, special tokens included; or that of the first token, [CLS]."""
    normalized: bool = True
    """Whether the embedding is divided by its length, so that dot products are cosines."""


class Aggregation(StrEnum):
    """How token labels become entities, by the names transformers' pipeline gives them."""

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


SPAN_LABELS = ("start", "end")
"""What the two logits of each token stand for in a model that answers questions."""
OUTSIDE = "O"
"""The tag of a word that is in no entity, in every scheme."""

Text = str | tuple[str, str]
"""One input: a text, or a pair of texts; a question comes before its context."""


DIGITS = 6
"""Of scores in JSON; float32 has no more."""


class Result:
    """A prediction, or a part of one."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Give what `bertedge predict` prints of it: lists, numbers and strings alone."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {label: round(score, DIGITS) for label, score in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.to_dict() if isinstance(value, Result) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification(Result):
    """The label of one text (or pair)."""

    label: str
    """The best of the model's labels; the bundle's out-of-scope label where its score is below
    the bundle's threshold."""
    score: float
    """Softmax probability of the best of the model's labels."""
    scores: dict[str, float]
    """Softmax probability of every label, in the model's order."""
    truncated: bool = False
    """True where the text was longer than the model reads, so that its end was not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiLabelClassification(Result):
    """The labels of one text (or pair), none, one or more."""

    labels: tuple[str, ...]
    """Those whose score reaches the bundle's threshold, best first."""
    scores: dict[str, float]
    """Sigmoid probability of every label, in the model's order."""
    truncated: bool = False
    """True where the text was longer than the model reads, so that its end was not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression(Result):
    """The value of one text (or pair)."""

    value: float
    """As the model gives it: neither clipped nor scaled."""
    truncated: bool = False
    """True where the text was longer than the model reads, so that its end was not seen."""


TextPrediction = Classification | MultiLabelClassification | Regression


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity(Result):
    """One labelled span of a text."""

    label: str
    score: float
    start: int
    """First character, counted in the caller's own string."""
    end: int
    """One past the last character."""
    text: str
    """`original[start:end]`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entities(Result):
    """The labelled spans of one text, from left to right."""

    entities: tuple[Entity, ...]
    windows: int = 1
    """How many overlapping windows the text was read in; 1 where it fitted the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentSlots(Result):
    """What one text asks for, and the details it gives, from left to right."""

    intent: str
    score: float
    """Softmax probability of the intent."""
    scores: dict[str, float]
    """Softmax probability of every intent, in the model's order."""
    slots: tuple[Entity, ...]
    windows: int = 1
    """How many overlapping windows the text was read in; the intent is that of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill(Result):
    """A token that may stand where a mask is."""

    token: str
    """As the vocabulary writes it: `##s` for the rest of a word."""
    token_id: int
    score: float
    """Softmax probability over the vocabulary."""

    def to_dict(self) -> dict[str, Any]:
        """Give the token and its score."""
        return {"token": self.token, "score": round(self.score, DIGITS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledMasks(Result):
    """What may stand at each mask of one text, from left to right."""

    masks: tuple[tuple[Fill, ...], ...]
    """The likeliest tokens of each, best first."""
    truncated: bool = False
    """True where the text was longer than the model reads; a mask in its end is left out."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedding(Result):
    """The vector of one text."""

    values: "NDArray[np.float32]"
    """`(hidden,)`"""
    truncated: bool = False
    """True where the text was longer than the model reads, so that its end was not seen."""

    def to_dict(self) -> dict[str, Any]:
        """Give the vector as a list of numbers."""
        values = [round(value, DIGITS) for value in self.values.tolist()]
        return {"values": values, "truncated": self.truncated}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Result):
    """A span of a context that may answer the question."""

    text: str
    """`context[start:end]`"""
    start: int
    """First character, counted in the caller's own string."""
    end: int
    """One past the last character."""
    score: float
    """Probability of its first token times that of its last; the sum of these where the same words
    were found in several places or windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers(Result):
    """What a context says to one question."""

    answer: Answer | None
    """The best; None where the context holds none, by the bundle's threshold."""
    answers: tuple[Answer, ...]
    """The likeliest, best first, whether or not there is an answer."""
    no_answer: float
    """Score of there being none, comparable with those of answers."""
    windows: int = 1
    """How many overlapping windows the context was read in; 1 where it fitted the model."""
    truncated: bool = False
    """True where the question was so long that its end was not seen."""


Prediction = TextPrediction | Entities | FilledMasks | Embedding | IntentSlots | Answers
