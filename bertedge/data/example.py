"""What a labelled file yields, and which of its columns are asked for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bertedge.columns import Columns as Columns  # noqa: PLC0414 (given on)
from bertedge.data.report import RowReport
from bertedge.errors import DataError
from bertedge.joint_labels import intent_label
from bertedge.spec import ProblemType, Task, Text

MISSING = ("nan", "NaN")
_TYPES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextExample:
    """A text or a pair of texts, with its label where the file has one."""

    text: str
    pair: str | None
    label: str | None = None
    """None where there are several, or a value, or no labels are read."""
    line: int
    """The first line of the file that it stands on, from 1."""
    labels: tuple[str, ...] | None = None
    """In multi-label files, which may well give none."""
    value: float | None = None
    """In regression files; finite."""
    others: tuple[str, ...] = ()
    """Texts that follow that of the pair, where an input has more than two."""

    @property
    def input(self) -> Text:
        """The text, or the two of a pair, or more."""
        return self.text if self.pair is None else (self.text, self.pair, *self.others)

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
class Reading:
    """A labelled file, how it is read, and what the caller needs of it."""

    path: Path
    task: Task
    columns: Columns
    """As told, until a reader's `resolve` has settled them."""
    problem_type: ProblemType
    labelled: bool = True
    """False: a label is read only where its column is named."""
    pair: bool | None = None
    """None: a pair is taken where the columns' names say so."""
    trained: Columns = Columns()  # noqa: RUF009 (frozen)
    """Those of the file that the model was trained on: taken where nothing else is told and this
    file has them too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One side of a file of which a share is held out; file, share and seed give the same rows."""

    held_out: bool
    """Whether these rows are the share, or what is left."""
    share: float
    seed: int


class Reader(Protocol):
    """What the module of a format holds."""

    def resolve(self, reading: Reading) -> Columns:
        """Settle the columns; SettingError for what the format does not have."""

    def records(self, reading: Reading, report: RowReport) -> Iterator[Any]:
        """Yield what stands for one example each; bad lines are left to `report`."""

    def example(self, reading: Reading, record: Any, report: RowReport) -> Example | None:
        """Check a record; DataError for a bad one, None for one that is no example."""


def check_text(where: str, text: object, what: str, key: str | None = None) -> str:
    """Return `text`; DataError where it is no string, or nothing but white space is in it."""
    if not isinstance(text, str):
        raise DataError(f"{where}: {key!r} is {describe(text)}; the {what} is a string")
    if not text or text.isspace():
        raise DataError(f"{where}: the {what} is empty; fill it in or delete the row")
    return text


def check_label(where: str, label: str) -> str:
    """Return `label` without white space around it; DataError where it is empty or a NaN."""
    label = label.strip()
    if not label or label in MISSING:
        found = f"{label}, a missing value" if label else "empty"
        raise DataError(f"{where}: the label is {found}; fill it in or delete the row")
    return label


def describe(value: object) -> str:
    """Return the kind of a JSON value for a message."""
    return _TYPES.get(type(value)) or f"the number {shorten(str(value))[1:-1]}"


def first_of(item: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return what stands under the first of `names` that there is; None for none."""
    return next((item[name] for name in names if item.get(name) is not None), None)


def shorten(text: str, length: int = 40) -> str:
    """Quote `text` for a message: one line, at most about `length` characters."""
    return repr(text if len(text) <= length else text[:length] + "…")
