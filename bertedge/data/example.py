"""What a labelled file yields, and which of its columns are asked for."""

from dataclasses import dataclass
from pathlib import Path

from bertedge.columns import Columns as Columns  # noqa: PLC0414 (given on)
from bertedge.errors import DataError
from bertedge.joint_labels import intent_label
from bertedge.spec import ProblemType, Task, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class TextExample:
    """A text or a pair of texts, with its label where the file has one."""

    text: str
    pair: str | None
    label: str | None
    """None where there are several, or a value, or no labels are read."""
    line: int
    """The first line of the file that it stands on, from 1."""
    labels: tuple[str, ...] | None = None
    """In multi-label files, which may well give none."""
    value: float | None = None
    """In regression files; finite."""

    @property
    def input(self) -> Text:
        """The text, or the two of a pair."""
        return self.text if self.pair is None else (self.text, self.pair)

    @property
    def names(self) -> tuple[str, ...]:
        """The labels, however many the task gives a text."""
        return self.labels or (() if self.label is None else (self.label,))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenExample:
    """A sentence in words, with one tag a word where the file has them."""

    tokens: tuple[str, ...]
    """At least one; a word may be blank, as some are in real CoNLL files."""
    tags: tuple[str, ...] | None
    """IOB2, whatever scheme the file uses."""
    line: int
    intent: str | None = None
    """Where the task is to find that too."""

    @property
    def names(self) -> tuple[str, ...]:
        """The labels as models name them: that of the intent, if there is one, and the tags."""
        intent = () if self.intent is None else (intent_label(self.intent),)
        return (*intent, *(self.tags or ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldAnswer:
    """A right answer to a question."""

    text: str
    start: int | None
    """First character in the context, where the text stands; None where it is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionExample:
    """A question about a context, with its answers where the file has them."""

    question: str
    """Never blank where answers are read."""
    context: str
    answers: tuple[GoldAnswer, ...] | None
    """All that are right, none where the context holds none; None where they are not read."""
    where: str
    """In the file, for messages: the line, or the question's id."""

    @property
    def gold(self) -> list[str]:
        """The words of the right answers."""
        return [each.text for each in self.answers or ()]

    @property
    def placed(self) -> GoldAnswer | None:
        """The first answer that stands in the context."""
        return next((each for each in self.answers or () if each.start is not None), None)

    @property
    def input(self) -> tuple[str, str]:
        """The question and the context."""
        return (self.question, self.context)

    @property
    def names(self) -> tuple[str, ...]:
        """None: what is found is a span."""
        return ()


Example = TextExample | TokenExample | QuestionExample


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the caller needs of a file."""

    task: Task
    labelled: bool
    """False: a label is read only where its column is named."""
    pair: bool | None
    """None: a pair is taken where the columns' names say so."""
    problem_type: ProblemType
    trained: Columns = Columns()  # noqa: RUF009 (frozen)
    """Those of the file that the model was trained on: taken where nothing else is told and this
    file has them too."""


def check_text(path: Path, line: int, text: str, what: str) -> str:
    """Return `text`; DataError where nothing but white space is in it."""
    if not text or text.isspace():
        raise DataError(f"{path}:{line}: the {what} is empty; fill it in or delete the row")
    return text


def check_label(path: Path, line: int, label: str) -> str:
    """Return `label` without white space around it; DataError where it is empty or a NaN."""
    label = label.strip()
    if not label:
        raise DataError(f"{path}:{line}: the label is empty; fill it in or delete the row")
    if label in ("nan", "NaN"):
        raise DataError(
            f"{path}:{line}: the label is {label}, a missing value; fill it in or delete the row"
        )
    return label


def shorten(text: str, length: int = 40) -> str:
    """Quote `text` for a message: one line, at most about `length` characters."""
    return repr(text if len(text) <= length else text[:length] + "…")
