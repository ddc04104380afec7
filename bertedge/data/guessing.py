"""Which named column is the text, the second text, the label: as told, else by known names."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from bertedge.data import parallel
from bertedge.data.example import Columns, Reading, shorten
from bertedge.errors import DataError
from bertedge.spec import LabelKind, ProblemType, Task

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
TOKENS: Tiers = (("tokens",), ("words", "token", "word"))
TAGS: Tiers = (("tags",), ("ner_tags", "labels", "slots", "ner", "tag"))
INTENTS: Tiers = (("intent",), ("label", "category", "class", "intents", "domain", "target"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What the columns of a file are called, by what its labels are."""

    text: Tiers = TEXTS
    label: Tiers = LABELS
    pair: Tiers = ()
    """Of a second text; none: that which belongs to the name of the first (PAIRS)."""
    words: tuple[str, str, str] = ("text", "second text", "label")
    """For people: what the text, the second text and the label are."""
    json: str = ""
    """For messages: that it is read from JSON lines alone."""


NAMING = {
    LabelKind.TAGS: Naming(text=TOKENS, label=TAGS, words=("words", "", "tags")),
    LabelKind.INTENT_AND_TAGS: Naming(
        text=(*TOKENS, *TEXTS),
        label=TAGS,
        words=("words", "", "tags"),
        json=f"intents and slots are read from JSON lines, or from a folder with {parallel.WORDS}, "
        f"{parallel.TAGS} and {parallel.INTENTS}",
    ),
    LabelKind.SPANS: Naming(
        text=(("question",), ("query",)),
        label=(("answers",),),
        words=("question", "context", "answers"),
    ),
    LabelKind.CHOICES: Naming(
        text=(("context",), ("sent1", *(name for tier in TEXTS for name in tier))),
        pair=(("endings", "choices"), ("options", "candidates", "ending0")),
        words=("context", "choices", "place of the right choice"),
        json="contexts with their choices are read from JSON lines",
    ),
}


def naming(task: Task) -> Naming:
    """Return what columns of a task's files are called."""
    return NAMING.get(task.labels_are, Naming())


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
        listed = ", ".join(map(shorten, self.names[:20]))
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


def label_names(reading: Reading) -> Tiers:
    """Return the names that a column of labels (or tags, or values) may have."""
    own = naming(reading.task).label
    return VALUES if reading.problem_type is ProblemType.REGRESSION and own is LABELS else own


def resolve_names(header: Header, reading: Reading) -> Columns:
    """Fill in `text`, `pair`, `label` and `intent` with names of the header."""
    kind, names = reading.task.labels_are, naming(reading.task)
    told = {
        field: header.names[header.position(name)] for field, name in reading.columns.named.items()
    }
    found = told | _as_trained(header, told, reading)
    if reading.labelled and "label" not in found:
        found["label"] = _guess(header, label_names(reading), "label", found)
    if reading.labelled and kind is LabelKind.INTENT_AND_TAGS and "intent" not in found:
        found["intent"] = _guess(header, INTENTS, "intent", found)
    guessed = "text" not in found
    if guessed:
        found["text"] = _guess(header, names.text, "text", found)
    if names.pair and "pair" not in found:
        found["pair"] = _guess(header, names.pair, "pair", found)
    if "pair" not in found and not reading.task.tags_words and reading.pair is not False:
        found |= _second(header, found, reading, guessed=guessed)
    return reading.columns.with_names(found)


def _as_trained(header: Header, told: dict[str, str], reading: Reading) -> dict[str, str]:
    """Return the names of the training's file that this one has too."""
    wanted = {"text", *(("label", "intent") if reading.labelled else ())}
    if reading.pair or (reading.pair is None and "text" not in told):
        wanted.add("pair")
    found = {
        field: find(header.names, name)
        for field, name in reading.trained.named.items()
        if field in wanted and field not in told
    }
    return {
        field: name
        for field, name in found.items()
        if name is not None and name not in told.values() and header.names.count(name) == 1
    }


def _guess(header: Header, tiers: Tiers, what: str, told: dict[str, str]) -> str:
    matches = known([name for name in header.names if name not in told.values()], tiers)
    if len(matches) > 1:
        raise DataError(
            f"{header.where}: {' and '.join(map(shorten, matches))} could each be "
            f"the {what}; choose with --{what}-column"
        )
    if not matches:
        raise _unknown(header, what)
    return matches[0]


def _second(
    header: Header, told: dict[str, str], reading: Reading, *, guessed: bool
) -> dict[str, str]:
    """Return the second text, where the first's known partner is there or a pair is needed."""
    partner = [name for name in header.names if fold(name) == PAIRS.get(fold(told["text"]))]
    if partner and (guessed or reading.pair):
        return {"pair": partner[0]}
    if not reading.pair:
        return {}
    others = [name for name in header.names if name not in (told["text"], told.get("label"))]
    seconds = [name for name in others if fold(name) in PAIRS.values()]
    for choice in (seconds, others):
        if len(choice) == 1:
            return {"pair": choice[0]}
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
