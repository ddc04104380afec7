"""The typed prediction of each task."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from bertedge.serialization import RecordError, from_plain
from bertedge.spec import InputShape, Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGITS = 6
"""Of scores in JSON; float32 has no more."""


class Result:
    """A prediction, or a part of one."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what `bertedge predict` prints of it: lists, numbers and strings alone.

        Examples:
            >>> import bertedge
            >>> bertedge.load("bundles/values").predict_one("play some jazz").to_dict()
            {'value': 0.5, 'truncated': False}
        """
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]


def input_to_dict(text: Text, shape: InputShape) -> dict[str, Any]:
    """Return what stands before a prediction in JSON: the text, or its parts."""
    if isinstance(text, str):
        return {"text": text}
    return {"text": text[0], "pair": text[1:] if shape.most is None else text[1]}


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
    """The label of one text (or pair).

    Examples:
        >>> import bertedge
        >>> bertedge.load("bundles/mine").predict_one("play some jazz")
        Classification(label='music_play', score=0.98, scores={...}, truncated=False)
    """

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
    """The labels of one text (or pair), none, one or more.

    Examples:
        >>> import bertedge
        >>> model = bertedge.load("bundles/several")
        >>> found = model.predict_one("turn the hall lights off and play some jazz")
        >>> sorted(found.labels), len(found.scores)
        (['lights_off', 'music_play'], 3)
    """

    labels: tuple[str, ...]
    """Those whose score reaches the bundle's threshold, best first."""
    scores: dict[str, float]
    """Sigmoid probability of every label, in the model's order."""
    truncated: bool = False
    """True where the text was longer than the model reads, so that its end was not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression(Result):
    """The value of one text (or pair).

    Examples:
        >>> import bertedge
        >>> bertedge.load("bundles/values").predict_one("play some jazz")
        Regression(value=0.5, truncated=False)
    """

    value: float
    """As the model gives it, neither clipped nor scaled; of a cross-encoder its score, by the
    bundle's activation."""
    truncated: bool = False
    """True where the text was longer than the model reads, so that its end was not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked(Result):
    """A passage in its place among those that were ranked for a query.

    Examples:
        >>> import bertedge
        >>> model = bertedge.load("bundles/reranker")
        >>> best, _ = model.rank("lights", ["play some jazz", "turn the lights off"])
        >>> sorted(best.to_dict())
        ['index', 'score', 'text', 'truncated']
    """

    index: int
    """Its place among those given, from 0."""
    score: float
    """What the model says of query and passage, by the bundle's activation."""
    text: str
    truncated: bool = False
    """True where query and passage were longer than the model reads."""


TextPrediction = Classification | MultiLabelClassification | Regression


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity(Result):
    """One labelled span of a text.

    Examples:
        >>> import bertedge
        >>> text = "turn the hall lights off"
        >>> room, _ = bertedge.load("bundles/tags").predict_one(text).entities
        >>> room.label, room.text, text[room.start : room.end]
        ('room', 'hall', 'hall')
    """

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
    """The labelled spans of one text, from left to right.

    Examples:
        >>> import bertedge
        >>> found = bertedge.load("bundles/tags").predict_one("turn the hall lights off")
        >>> [entity.label for entity in found.entities]
        ['room', 'device']
    """

    entities: tuple[Entity, ...]
    windows: int = 1
    """How many overlapping windows the text was read in; 1 where it fitted the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentSlots(Result):
    """What one text asks for, and the details it gives, from left to right.

    Examples:
        >>> import bertedge
        >>> found = bertedge.load("bundles/joint").predict_one("turn the hall lights off")
        >>> found.intent, [slot.text for slot in found.slots]
        ('lights_off', ['hall', 'lights'])
    """

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
        """Return the token and its score."""
        return {"token": self.token, "score": round(self.score, DIGITS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledMasks(Result):
    """What may stand at each mask of one text, from left to right.

    Examples:
        >>> import bertedge
        >>> found = bertedge.load("bundles/words").predict_one("play some [MASK]", top_k=2)
        >>> [len(fills) for fills in found.masks]
        [2]
    """

    masks: tuple[tuple[Fill, ...], ...]
    """The likeliest tokens of each, best first."""
    truncated: bool = False
    """True where the text was longer than the model reads; a mask in its end is left out."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedding(Result):
    """The vector of one text.

    Examples:
        >>> import bertedge
        >>> found = bertedge.load("bundles/vectors").predict_one("play some jazz")
        >>> found.values.dtype, found.values.ndim
        (dtype('float32'), 1)
    """

    values: "NDArray[np.float32]"
    """`(hidden,)`"""
    truncated: bool = False
    """True where the text was longer than the model reads, so that its end was not seen."""

    def to_dict(self) -> dict[str, Any]:
        """Return the vector as a list of numbers."""
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
    """What a context says to one question.

    Examples:
        >>> import bertedge
        >>> asked = ("where do the lights go off", "the lights go off in the hall")
        >>> bertedge.load("bundles/questions").predict_one(asked).answer
        Answer(text='hall', start=25, end=29, score=0.98)
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipleChoice(Result):
    """Which of the choices goes with a context.

    Examples:
        >>> import bertedge
        >>> asked = ("it is dark in the hall", "turn the lights on", "play some jazz")
        >>> bertedge.load("bundles/choices").predict_one(asked).choice
        0
    """

    choice: int
    """Place of the best, from 0."""
    chosen: str
    """The best choice itself."""
    score: float
    """Its softmax probability among the choices."""
    scores: tuple[float, ...]
    """Softmax probability of every choice, in the order given."""
    truncated: bool = False
    """True where the context with a choice was longer than the model reads."""


Prediction = (
    TextPrediction | Entities | FilledMasks | Embedding | IntentSlots | Answers | MultipleChoice
)


_KINDS: tuple[type[Prediction], ...] = (
    *(Classification, MultiLabelClassification, Regression, Entities, IntentSlots, Answers),
    MultipleChoice,
)


def prediction_from_dict(data: object, where: str = "") -> Prediction:
    """Return the prediction that `to_dict` wrote; RecordError, of `where`, for anything else."""
    if isinstance(data, dict) and "values" in data:
        import numpy as np

        read = from_plain(_Values, data, where)
        return Embedding(values=np.array(read.values, np.float32), truncated=read.truncated)
    for kind in _KINDS:
        if isinstance(data, dict) and fields(kind)[0].name in data:
            found: Prediction = from_plain(kind, data, where)
            return found
    raise RecordError(f"{where} is no prediction")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    """An embedding as JSON has it."""

    values: tuple[float, ...]
    truncated: bool = False
