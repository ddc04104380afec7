"""Texts with character spans, as annotation tools export them, become words with IOB2 tags."""

import json
import re
from pathlib import Path

import pytest

from bertedge.data import BadRows, Columns, ExampleFile, TokenExample, open_examples
from bertedge.errors import DataError
from bertedge.spec import Task

TEXT = "Ada Lovelace met Mr. Babbage, in 伦敦!"
WORDS = ["Ada", "Lovelace", "met", "Mr", ".", "Babbage", ",", "in", "伦", "敦", "!"]
TAGS = ["B-PER", "I-PER", "O", "O", "O", "B-PER", "O", "O", "B-LOC", "I-LOC", "O"]
SPANS = [[0, 12, "PER"], [21, 28, "PER"], [33, 35, "LOC"]]
NAMED = [dict(zip(("start", "end", "label"), span, strict=True)) for span in SPANS]
RESULTS = [
    {
        "from_name": "label",
        "type": "labels",
        "value": {"start": start, "end": end, "text": TEXT[start:end], "labels": [kind]},
    }
    for start, end, kind in SPANS
]
PRODIGY_TOKENS = [{"text": "Ada", "start": 0, "end": 3, "id": 0}]


def ask(path: Path, columns: Columns | None = None, **settings: bool) -> ExampleFile:
    return open_examples(path, Task.TOKEN_CLASSIFICATION, columns or Columns(), **settings)


def tagged(file: ExampleFile) -> list[tuple[list[str], list[str]]]:
    return [(list(e.tokens), list(e.tags or ())) for e in file if isinstance(e, TokenExample)]


@pytest.mark.parametrize(
    "row",
    [
        # Doccano, as of 1.2 and before; its relations' export.
        {"id": 1, "text": TEXT, "label": SPANS},
        {"id": 1, "data": TEXT, "label": SPANS},
        {"text": TEXT, "labels": SPANS},
        {
            "text": TEXT,
            "entities": [
                {"id": 1, "label": kind, "start_offset": start, "end_offset": end}
                for start, end, kind in SPANS
            ],
            "relations": [],
        },
        # spaCy's; unsorted.
        {"text": TEXT, "entities": SPANS[::-1]},
        # Prodigy.
        {"text": TEXT, "tokens": PRODIGY_TOKENS, "spans": NAMED, "answer": "accept"},
        # Label Studio, whole and minimal.
        {"id": 3, "data": {"text": TEXT}, "annotations": [{"id": 1, "result": RESULTS}]},
        {"id": 3, "data": {"text": TEXT}, "completions": [{"result": RESULTS}]},
        {"text": TEXT, "label": [each["value"] for each in RESULTS]},
        # CLUENER: the ends are inclusive.
        {
            "text": TEXT,
            "label": {
                "PER": {"Ada Lovelace": [[0, 11]], "Babbage": [[21, 27]]},
                "LOC": {"伦敦": [[33, 34]]},
            },
        },
    ],
)
@pytest.mark.parametrize("shape", ["line", "list", "indented"])
def test_exports_of_annotation_tools_are_read(write, row: dict[str, object], shape: str) -> None:
    empty = {"text": "Nothing", "data": "Nothing", "label": [], "spans": [], "entities": []}
    if "annotations" in row or "completions" in row:
        empty = {"data": {"text": "Nothing"}, "annotations": [{"result": []}]}
    values = [row, {**empty, **({"labels": []} if "labels" in row else {})}]
    if shape == "line":
        path = write("a.jsonl", "\n".join(json.dumps(each) for each in values))
    else:
        path = write("a.json", json.dumps(values, indent=2 if shape == "indented" else None))
    file = ask(path)
    assert tagged(file) == [(WORDS, TAGS), (["Nothing"], ["O"])]
    assert tagged(ask(path, file.columns)) == tagged(file)


def test_rows_that_an_annotator_rejected_or_has_not_seen_are_counted(write) -> None:
    rows = [
        {"text": "a", "spans": [], "answer": "reject"},
        {"text": "b", "spans": [], "answer": "ignore"},
        {"text": "c", "spans": [], "answer": "accept"},
        {"text": "d", "spans": []},
    ]
    path = write("a.jsonl", "\n".join(map(json.dumps, rows)))
    file = ask(path)
    assert [words for words, _ in tagged(file)] == [["c"], ["d"]]
    assert "2 rows that the annotator did not accept" in file.description
    tasks = [
        {"data": {"text": "a"}, "annotations": []},
        {"data": {"text": "b"}, "annotations": [{"was_cancelled": True, "result": []}]},
        {"data": {"text": "c"}, "annotations": [{"result": []}]},
    ]
    file = ask(write("b.json", json.dumps(tasks)))
    assert [words for words, _ in tagged(file)] == [["c"]]


@pytest.mark.parametrize(
    ("span", "tags", "cut"),
    [
        ((0, 3), ["B-X", "O", "O"], False),
        ((0, 2), ["B-X", "O", "O"], True),
        ((1, 3), ["B-X", "O", "O"], True),
        ((2, 6), ["B-X", "I-X", "O"], True),
        ((3, 8), ["O", "B-X", "O"], False),  # a space beside the word belongs to none
        ((0, 8), ["B-X", "I-X", "O"], False),
        ((8, 9), ["O", "O", "B-X"], False),
        ((4, 9), ["O", "B-X", "I-X"], False),
    ],
)
def test_a_span_has_every_word_that_it_touches(write, span, tags: list[str], cut: bool) -> None:
    path = write("a.jsonl", json.dumps({"text": "one two !", "label": [[*span, "X"]]}))
    file = ask(path)
    assert tagged(file) == [(["one", "two", "!"], tags)]
    assert ("1 spans that cut a word" in file.description) == cut


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([[0, 3, "A"], [2, 7, "B"]], r"the spans 0 to 3 \('A'\) and 2 to 7 \('B'\) overlap"),
        ([[0, 6, "A"], [1, 2, "A"]], "overlap"),
        ([[0, 3, "A"], [0, 3, "A"]], "overlap"),
        ([[3, 4, "A"]], "holds no word"),
        ([[0, 99, "A"]], "lies outside the text, which has 7 characters"),
        ([[-1, 3, "A"]], "lies outside the text"),
        ([[3, 3, "A"]], "lies outside the text"),
        ([[10**400, 10**400, "A"]], "lies outside the text"),
        ([[0, 3]], r"a span must be \[start, end, type\]"),
        ([[0, 3, ""]], "has no one type"),
        ([[0, 3, 7]], "has no one type"),
        ([{"start": 0, "end": 3, "labels": ["A", "B"]}], "has no one type"),
        ([{"start": 0, "label": "A"}], "no whole numbers for its start and end"),
        ([[0.0, 3, "A"]], "no whole numbers"),
        ([[True, 3, "A"]], "no whole numbers"),
        ([3], "a span must be"),
        ("A", "the spans must be a list"),
        ({"A": [[0, 3]]}, "must be an object of mentions"),
        ({"A": {"one": [0, 2]}}, r"the places of 'one' must be \[\[start, end\], …\]"),
    ],
)
def test_bad_spans_are_one_line_or_left_out(write, label: object, message: str) -> None:
    good = json.dumps({"text": "one two", "label": []})
    path = write("a.jsonl", f"{good}\n" + json.dumps({"text": "one two", "label": label}))
    with pytest.raises(DataError, match=rf"a\.jsonl:2: .*{message}") as caught:
        list(ask(path))
    assert "\n" not in str(caught.value)
    file = ask(path, Columns(bad_rows=BadRows.SKIP))
    assert len(tagged(file)) == 1 and re.search("1 bad row left out", file.description)


def test_two_spans_in_one_word_do_not_overlap_but_the_word_has_one_tag(write) -> None:
    row = {"text": "AvsB and", "label": [[0, 1, "X"], [3, 4, "Y"]]}
    file = ask(write("a.jsonl", json.dumps(row)))
    assert tagged(file) == [(["AvsB", "and"], ["B-X", "O"])]
    assert "2 spans that cut a word" in file.description
    assert "1 spans left out: another one has their only word" in file.description
    row["label"] = [[0, 1, "X"], [3, 8, "Y"]]
    assert tagged(ask(write("a.jsonl", json.dumps(row)))) == [(["AvsB", "and"], ["B-X", "B-Y"])]


def test_keys_can_be_chosen(write) -> None:
    row = {"text": "no", "t": "one two", "label": [], "y": [[0, 3, "A"]]}
    file = ask(write("a.jsonl", json.dumps(row)), Columns(text="t", label="y"))
    assert tagged(file) == [(["one", "two"], ["B-A", "O"])]
    assert file.description == "words from key 't', tags from key 'y'"


def test_texts_alone_are_split_into_words(write) -> None:
    file = ask(write("a.jsonl", json.dumps({"text": TEXT})), labelled=False)
    assert tagged(file) == [(WORDS, [])]
