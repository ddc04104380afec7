"""Texts with entities as character spans: what annotation tools export, as words with tags.

Read are Doccano's `[[start, end, type]]`, lists of objects with start, end and a label (Prodigy,
spaCy, Label Studio), and CLUENER's `{type: {mention: [[start, end]]}}`, whose ends are inclusive.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bertedge.data.example import first_of, shorten
from bertedge.data.report import RowReport
from bertedge.errors import DataError
from bertedge.unspaced import split_words

TEXTS = (("text",), ("sentence", "content", "data", "document"))
LABELS = (("spans",), ("entities",), ("label", "labels"))
CUT = "spans that cut a word: all of the word has their label"
LOST = "spans left out: another one has their only word"
REJECTED = "rows that the annotator did not accept"
_STARTS = ("start", "start_offset", "start_idx", "begin")
_ENDS = ("end", "end_offset", "end_idx")
_TYPES = ("label", "labels", "type", "entity_group", "entity_type", "entity", "tag")
_MENTIONS = ("text", "mention", "word")


class Span(NamedTuple):
    """An entity in a text: its first character, the one behind its last, its type."""

    start: int
    end: int
    kind: str


def unwrap(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the text and the spans of a task of Label Studio; of Prodigy, without its tokens."""
    plain = dict(item)
    tasks = next((item[k] for k in ("annotations", "completions") if k in item), None)
    if isinstance(item.get("data"), dict) and isinstance(tasks, list):
        done = [each for each in tasks if isinstance(each, dict) and not each.get("was_cancelled")]
        found = done[0].get("result") if done else []
        results = found if isinstance(found, list) else []
        spans = [each["value"] for each in results if _is_span(each)]
        return {**item["data"], "spans": spans, "annotated": bool(done)}
    if "spans" in item and not is_words(item.get("tokens")):
        plain.pop("tokens", None)
    return plain


def is_accepted(item: Mapping[str, Any]) -> bool:
    """Return whether an annotator has said yes to a row, or nothing (Prodigy, Label Studio)."""
    return item.get("answer", "accept") == "accept" and item.get("annotated", True) is True


def is_words(value: object) -> bool:
    """Return whether a value is a list of strings, with one at least."""
    return isinstance(value, list) and bool(value) and all(isinstance(x, str) for x in value)


def to_words(
    where: str, text: str, given: object, report: RowReport
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split a text into words and give each an IOB2 tag; a span has all words that it touches.

    Raises DataError for a span that is malformed, lies outside the text or overlaps another.
    """
    places = list(split_words(text))
    tags = ["O"] * len(places)
    begins, ends = [start for start, _ in places], [end for _, end in places]
    before: Span | None = None
    for span in sorted(_spans(where, text, given), key=lambda span: span.start):
        touched = range(bisect_right(ends, span.start), bisect_left(begins, span.end))
        if not touched:
            raise DataError(f"{where}: the span {_show(span)} holds no word; fix or delete it")
        if before is not None and before.end > span.start:
            raise DataError(
                f"{where}: the spans {_show(before)} and {_show(span)} overlap; a word has one "
                "tag: delete one of them"
            )
        before = span
        if begins[touched[0]] < span.start or ends[touched[-1]] > span.end:
            report.note(CUT)
        own = [number for number in touched if tags[number] == "O"]
        if not own:
            report.note(LOST)
        for number in own:
            tags[number] = f"{'B' if number == own[0] else 'I'}-{span.kind}"
    return tuple(text[start:end] for start, end in places), tuple(tags)


def _spans(where: str, text: str, given: object) -> Iterator[Span]:
    if given is None:
        return
    if isinstance(given, dict):
        yield from _by_type(where, text, given)
        return
    if not isinstance(given, list):
        raise DataError(f"{where}: the spans must be a list of [start, end, type] or of objects")
    for each in given:
        if isinstance(each, dict):
            start, end, kind = (first_of(each, names) for names in (_STARTS, _ENDS, _TYPES))
            mention = first_of(each, _MENTIONS)
            if isinstance(kind, list) and len(kind) == 1:
                kind = kind[0]
        elif isinstance(each, list) and len(each) == 3:
            (start, end, kind), mention = each, None
        else:
            raise DataError(
                f"{where}: a span must be [start, end, type] or an object with start, end and "
                "label; fix or delete it"
            )
        yield _span(where, text, (start, end, kind), mention)


def _by_type(where: str, text: str, given: dict[str, Any]) -> Iterator[Span]:
    for kind, mentions in given.items():
        if not isinstance(mentions, dict):
            raise DataError(
                f"{where}: under {shorten(kind)} must be an object of mentions, each with a list "
                "of [start, end]"
            )
        for mention, places in mentions.items():
            for place in places if isinstance(places, list) else [places]:
                if not isinstance(place, list) or len(place) != 2:
                    raise DataError(
                        f"{where}: the places of {shorten(mention)} must be [[start, end], …]"
                    )
                yield _span(where, text, (*place, kind), mention)


def _span(where: str, text: str, given: tuple[Any, Any, Any], mention: object) -> Span:
    start, end, kind = given
    for number in (start, end):
        if not isinstance(number, int) or isinstance(number, bool):
            raise DataError(f"{where}: a span has no whole numbers for its start and end; fix it")
    if not isinstance(kind, str) or not kind.strip():
        raise DataError(f"{where}: the span {start} to {end} has no one type; fix or delete it")
    if 0 <= start <= end < len(text) and text[start : end + 1] == mention != text[start:end]:
        end += 1
    span = Span(start, end, kind.strip())
    if not 0 <= start < end <= len(text):
        raise DataError(
            f"{where}: the span {_show(span)} lies outside the text, which has {len(text)} "
            "characters; fix or delete it"
        )
    return span


def _show(span: Span) -> str:
    return f"{span.start} to {span.end} ({shorten(span.kind, 20)})"


def _is_span(result: object) -> bool:
    value = result.get("value") if isinstance(result, dict) else None
    return isinstance(value, dict) and first_of(value, _STARTS) is not None
