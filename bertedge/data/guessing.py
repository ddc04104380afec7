"""Which named column is the text, the second text, the label: as told, else by known names."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bertedge.data.example import Columns, Request, shorten
from bertedge.errors import DataError
from bertedge.spec import LabelKind, ProblemType

Tiers = tuple[tuple[str, ...], ...]

# The first text of a pair, and the name that the second then has.
PAIRS = {
    "sentence1": "sentence2",
    "sentence_1": "sentence_2",
    "sentence_a": "sentence_b",
    "text1": "text2",
    "text_1": "text_2",
    "text_a": "text_b",
    "question1": "question2",
    "query1": "query2",
    "s1": "s2",
    "#1_string": "#2_string",
    "premise": "hypothesis",
    "question": "context",
}
# A name of an earlier tier is taken before all of a later one; two of one tier are an error.
TEXTS: Tiers = (
    ("text",),
    (
        *("sentence", "utterance", "query", "question", "review", "content", "title", "comment"),
        *("document", "message", "tweet", "body", "description", "phrase", *PAIRS),
    ),
)
LABELS: Tiers = (
    ("label",),
    (
        *("labels", "intent", "category", "class", "target", "tag", "quality", "sentiment"),
        *("cat", "gold_label", "topic", "is_duplicate"),
    ),
)
VALUES: Tiers = (
    *LABELS,
    ("score", "similarity", "similarity_score", "relatedness_score", "rating", "value", "stars"),
)
QUESTIONS: Tiers = (("question",), ("query",))
ANSWERS: Tiers = (("answers",),)
TOKENS: Tiers = (("tokens",), ("words", "token", "word"))
TAGS: Tiers = (("tags",), ("ner_tags", "labels", "slots", "ner", "tag"))
INTENTS: Tiers = (("intent",), ("label", "category", "class", "intents", "domain", "target"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The names that a file gives its columns."""

    where: str
    """File and line, to begin a message with."""
    names: tuple[str, ...]
    kind: str
    """"column", or "key" in JSON."""

    def found(self) -> str:
        """List the names for a message."""
        listed = ", ".join(shorten(name) for name in self.names[:20])
        return listed + (f" and {len(self.names) - 20} more" if len(self.names) > 20 else "")

    def position(self, name: str) -> int:
        """Find a name; a number that is no name counts columns. DataError lists what is there."""
        if self.names.count(name) > 1:
            raise DataError(
                f"{self.where}: {shorten(name)} names {self.names.count(name)} columns; "
                "rename all but one"
            )
        if name in self.names:
            return self.names.index(name)
        if self.kind == "column" and is_number(name) and int(name) < len(self.names):
            return int(name)
        folded = {fold(known): known for known in self.names}
        close = difflib.get_close_matches(fold(name), folded, n=1, cutoff=0.6)
        hint = f"; did you mean {shorten(folded[close[0]])}?" if close else ""
        raise DataError(
            f"{self.where}: there is no {self.kind} {shorten(name)}; found {self.found()}{hint}"
        )


def is_number(name: str) -> bool:
    """Return whether `name` can count columns."""
    return name.isascii() and name.isdigit()


def known(names: Sequence[str], tiers: Tiers) -> list[str]:
    """Return the names of the best tier that has any."""
    for tier in tiers:
        matches = [name for name in names if fold(name) in tier]
        if matches:
            return matches
    return []


def find(names: Sequence[str], name: str | None) -> str | None:
    """Return the one of `names` that is `name`, whatever its case and the spaces around it."""
    if name is None:
        return None
    return next((each for each in names if fold(each) == fold(name)), None)


def label_names(request: Request) -> Tiers:
    """Return the names that a column of labels (or tags, or values) may have."""
    if request.task.tags_words:
        return TAGS
    if request.task.labels_are is LabelKind.SPANS:
        return ANSWERS
    return VALUES if request.problem_type is ProblemType.REGRESSION else LABELS


def resolve_names(header: Header, columns: Columns, request: Request) -> Columns:
    """Fill in `text`, `pair`, `label` and `intent` with names of the header."""
    told = Columns(
        text=_named(header, columns.text),
        pair=_named(header, columns.pair),
        label=_named(header, columns.label),
        intent=_named(header, columns.intent),
    )
    told = _as_trained(header, told, request)
    tokens = request.task.tags_words
    label = told.label
    if label is None and request.labelled:
        label = _guess(header, label_names(request), "label", told)
    told = replace(told, label=label)
    intent = told.intent
    if intent is None and request.labelled and request.task.labels_are is LabelKind.INTENT_AND_TAGS:
        intent = _guess(header, INTENTS, "intent", told)
    told = replace(told, intent=intent)
    tiers = {
        LabelKind.TAGS: TOKENS,
        LabelKind.INTENT_AND_TAGS: (*TOKENS, *TEXTS),
        LabelKind.SPANS: QUESTIONS,
    }
    text = told.text or _guess(header, tiers.get(request.task.labels_are, TEXTS), "text", told)
    pair = told.pair
    if pair is None and not tokens and request.pair is not False:
        pair = _second(header, replace(told, text=text), request, guessed=told.text is None)
    return replace(columns, text=text, pair=pair, label=label, intent=intent)


def _as_trained(header: Header, told: Columns, request: Request) -> Columns:
    """Fill in the names of the training's file that this one has too."""
    trained = request.trained
    found = {
        "text": find(header.names, trained.text) if told.text is None else None,
        "pair": find(header.names, trained.pair) if told.pair is None else None,
        "label": find(header.names, trained.label) if told.label is None else None,
        "intent": find(header.names, trained.intent) if told.intent is None else None,
    }
    if not request.labelled:
        found |= {"label": None, "intent": None}
    if request.pair is False or (told.text is not None and not request.pair):
        found["pair"] = None
    taken = (told.text, told.pair, told.label, told.intent)
    unique: dict[str, Any] = {
        field: name
        for field, name in found.items()
        if name is not None and name not in taken and header.names.count(name) == 1
    }
    return replace(told, **unique)


def _named(header: Header, name: str | None) -> str | None:
    return None if name is None else header.names[header.position(name)]


def _guess(header: Header, tiers: Tiers, what: str, told: Columns) -> str:
    taken = (told.text, told.pair, told.label, told.intent)
    free = [name for name in header.names if name not in taken]
    matches = known(free, tiers)
    if len(matches) > 1:
        raise DataError(
            f"{header.where}: {' and '.join(shorten(name) for name in matches)} could each be "
            f"the {what}; choose with --{what}-column"
        )
    if not matches:
        raise _unknown(header, what)
    return matches[0]


def _second(header: Header, told: Columns, request: Request, *, guessed: bool) -> str | None:
    text = fold(told.text or "")
    partner = [name for name in header.names if fold(name) == PAIRS.get(text)]
    if partner and (guessed or request.pair):
        return partner[0]
    if not request.pair:
        return None
    others = [name for name in header.names if name not in (told.text, told.label)]
    seconds = [name for name in others if fold(name) in PAIRS.values()]
    for choice in (seconds, others):
        if len(choice) == 1:
            return choice[0]
    raise _unknown(header, "pair")


def _unknown(header: Header, what: str) -> DataError:
    meaning = {"pair": "second text of the pair"}.get(what, what)
    return DataError(
        f"{header.where}: no {header.kind} has a known name for the {meaning}; "
        f"found {header.found()}; choose one with --{what}-column"
    )


def fold(name: str) -> str:
    """Write a name without what people write differently."""
    return name.strip().casefold().replace(" ", "_")
