import json
import re
from pathlib import Path

import pytest

from bertedge.data import Columns, ExampleFile, TextExample, TokenExample, open_examples
from bertedge.data.labels import check_known, with_label_map
from bertedge.errors import DataError, SettingError
from bertedge.spec import DecisionRule, Task


def open_texts(path: Path, columns: Columns | None = None, **needs: bool) -> ExampleFile:
    return open_examples(path, Task.TEXT_CLASSIFICATION, columns or Columns(), **needs)


def open_tokens(path: Path, columns: Columns | None = None, **needs: bool) -> ExampleFile:
    return open_examples(path, Task.TOKEN_CLASSIFICATION, columns or Columns(), **needs)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson", "a.jsonl.gz"])
def test_one_object_a_line_is_read(write, name: str) -> None:
    path = write(
        name,
        '\ufeff{"intent": "on", "text": "Gr\\u00fc\\u00dfe\\n"}\r\n\n{"text":"b","intent":"off"}',
    )
    file = open_texts(path)
    assert list(file) == [
        TextExample(text="Grüße\n", pair=None, label="on", line=1),
        TextExample(text="b", pair=None, label="off", line=3),
    ]
    assert file.description == "text from key 'text', label from key 'intent'"


def test_pairs_and_named_keys_are_read(write) -> None:
    path = write("a.jsonl", '{"s1": "a", "s2": "b", "label": 1, "other": "c"}\n')
    assert list(open_texts(path)) == [TextExample(text="a", pair="b", label="1", line=1)]
    columns = Columns(text="other", label="s2")
    assert list(open_texts(path, columns)) == [TextExample(text="c", pair=None, label="b", line=1)]


@pytest.mark.parametrize(
    ("value", "label"),
    [("1", "1"), ("0", "0"), ("true", "true"), ("false", "false"), ("1.5", "1.5"), ('" a "', "a")],
)
def test_numbers_and_booleans_become_labels(write, value: str, label: str) -> None:
    (example,) = open_texts(write("a.jsonl", f'{{"text": "a", "label": {value}}}\n'))
    assert isinstance(example, TextExample)
    assert example.label == label


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a", "label": null}', "the label 'label' is null, a missing value"),
        ('{"text": "a", "label": NaN}', "the label 'label' is NaN, a missing value"),
        ('{"text": "a", "label": Infinity}', "the label 'label' is Infinity, a missing"),
        ('{"text": "a", "label": "nan"}', "the label is nan, a missing value"),
        ('{"text": "a", "label": ""}', "the label is empty"),
        ('{"text": "a", "label": ["x"]}', "the label 'label' is a list; each row has one"),
        ('{"text": "a"}', "there is no key 'label'; found 'text'$"),
        ('{"txt": "a", "label": "x"}', "there is no key 'text'; .*; did you mean 'txt'"),
        ('{"text": "", "label": "x"}', "the text is empty"),
        ('{"text": " \\n", "label": "x"}', "the text is empty"),
        ('{"text": 3, "label": "x"}', "'text' is the number 3; the text is a string"),
        ('{"text": null, "label": "x"}', "'text' is null; the text is a string"),
        ('{"text": true, "label": "x"}', "'text' is a boolean; the text is a string"),
        ('{"text": "a", "label": "x"', r"this line is not JSON \(.* at character \d+\)"),
        ('{"text": "a" "label": "x"}', "this line is not JSON .*; write one object a line"),
        ('["a", "x"]', "this line is a list; write one object a line"),
        ('"a"', "this line is a string"),
        ("3", "this line is the number 3"),
        ('{"text": "a \\ud83d b", "label": "x"}', r"\\ud83d is half of a surrogate pair"),
        ('{"text": "a", "label": "\\udc00"}', r"\\udc00 is half of a surrogate pair"),
        ("[" * 100_000, "this line cannot be read as JSON"),
        ('{"text": ' + "9" * 5000 + "}", "this line cannot be read as JSON"),
    ],
)
def test_a_bad_line_is_named(write, line: str, message: str) -> None:
    path = write("a.jsonl", f'{{"text": "a", "label": "x"}}\n\n{line}\n')
    with pytest.raises(DataError) as caught:
        list(open_texts(path))
    assert re.search(f"^{re.escape(str(path))}:3: {message}", str(caught.value))
    assert "\n" not in str(caught.value)


def test_whole_surrogate_pairs_are_characters(write) -> None:
    (example,) = open_texts(write("a.jsonl", '{"text": "\\ud83d\\ude00", "label": "x"}\n'))
    assert isinstance(example, TextExample)
    assert example.text == "😀"


def test_one_object_over_several_lines_is_told_from_json_lines(write) -> None:
    with pytest.raises(DataError, match=r"1: .* looks like one JSON document: write one object"):
        open_texts(write("a.json", '{\n"text": "a"\n}\n'))


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz"])
def test_a_list_of_objects_is_read_with_the_lines_they_begin_on(
    write, name: str, indent: int | None
) -> None:
    rows = [{"text": "a\\n", "label": "x"}, {"text": "b", "label": "y"}]
    examples = list(open_texts(write(name, json.dumps(rows, indent=indent))))
    assert [(each.text, each.label) for each in examples] == [("a\\n", "x"), ("b", "y")]
    assert [each.line for each in examples] == ([1, 1] if indent is None else [2, 6])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("[\n{}\n]\n", "2: no key has a known name for the label"),
        ('[{"text": "a", "label": "x"},\n{"text": }]', r"2: the list cannot be read .*Expecting"),
        ('[{"text": "a", "label": "x"},\n', "2: the list cannot be read as JSON from here on"),
        ('[{"text": "a", "label": "x"},\n3]', "2: this line is the number 3"),
        ('[{"text": "a", "label": "x"},\n' + "[" * 10**5 + "]" * 10**5 + "]", "2: the list cannot"),
        ('[{"text": "a", "label": "x"},\n{"text": ' + "9" * 5000 + "}]", "2: the list cannot"),
        ("[]", "1: this line is a list"),
    ],
)
def test_a_list_that_cannot_be_read_is_named_with_the_line(
    write, document: str, message: str
) -> None:
    with pytest.raises(DataError, match=rf"a\.json:{message}") as caught:
        list(open_texts(write("a.json", document)))
    assert "\n" not in str(caught.value)


def test_keys_that_are_not_known_are_listed(write) -> None:
    path = write("a.jsonl", '{"a": "x", "b": "y"}\n')
    with pytest.raises(DataError, match="no key has a known name for the label; found 'a', 'b'; "):
        open_texts(path)
    with pytest.raises(DataError, match=r"for the text; .* choose one with --text-column"):
        open_texts(path, labelled=False)


def test_tables_have_settings_that_json_has_not(write) -> None:
    path = write("a.jsonl", '{"text": "a", "label": "y"}\n')
    for columns in (Columns(separator=","), Columns(header=True)):
        with pytest.raises(SettingError, match="is JSON lines; leave --separator and --header out"):
            open_texts(path, columns)


@pytest.mark.parametrize(
    ("tokens", "tags"),
    [("tokens", "tags"), ("words", "ner_tags"), ("tokens", "labels"), ("words", "slots")],
)
def test_words_and_tags_are_read_under_their_usual_names(write, tokens: str, tags: str) -> None:
    item = {"text": "a b", "intent": "i", tokens: ["a", "b"], tags: ["I-X", "O"]}
    file = open_tokens(write("a.jsonl", json.dumps(item)))
    assert list(file) == [TokenExample(tokens=("a", "b"), tags=("B-X", "O"), line=1)]
    assert file.description == f"words from key {tokens!r}, tags from key {tags!r}"


def test_words_and_tags_are_read_under_names_that_are_given(write) -> None:
    item = {"t": ["a"], "tokens": ["b"], "y": ["S-X"], "tags": ["O"]}
    file = open_tokens(write("a.jsonl", json.dumps(item)), Columns(text="t", label="y"))
    assert list(file) == [TokenExample(tokens=("a",), tags=("B-X",), line=1)]


def test_tags_are_optional_where_they_are_not_needed(write) -> None:
    path = write("a.jsonl", '{"tokens": ["a"]}\n')
    assert list(open_tokens(path, labelled=False)) == [
        TokenExample(tokens=("a",), tags=None, line=1)
    ]
    with pytest.raises(DataError, match="no key has a known name for the label"):
        open_tokens(path)


@pytest.mark.parametrize(
    ("tokens", "tags", "message"),
    [
        (["a", "b"], ["O"], "2 words in 'tokens', but 1 tags in 'tags'"),
        (["a"], ["PER"], "the tag 'PER' has no prefix"),
        (["a", "b"], [3, "O"], "'tags' holds the number 3; write the tags' names, such as B-PER"),
        (["a"], [-1], "'tags' holds the number -1; write the tags' names"),
        (["a"], [None], "'tags' holds null; write strings"),
        (["a"], "O", "'tags' is a string; write a list of strings"),
        ("a b", ["O", "O"], "'tokens' is a string; write a list of strings"),
        ([["a"]], ["O"], "'tokens' holds a list"),
        ([], [], "the list of words is empty"),
        (["", " "], ["O", "O"], "the list of words is empty"),
    ],
)
def test_bad_words_and_tags_are_named(write, tokens: object, tags: object, message: str) -> None:
    lines = [{"tokens": ["a"], "tags": ["O"]}, {"tokens": tokens, "tags": tags}]
    path = write("a.jsonl", "\n".join(map(json.dumps, lines)))
    with pytest.raises(DataError, match=rf"a\.jsonl:2: {message}"):
        list(open_tokens(path))


def test_tags_that_are_ids_take_their_names_from_a_map_or_from_the_model(write) -> None:
    rows = [{"tokens": ["a", "b", "c"], "ner_tags": ids} for ids in ([1, 1, 0], [3, 4, 0])]
    file = open_tokens(write("a.jsonl", "\n".join(map(json.dumps, rows))))
    assert [example.tags for example in tokens_of(file)] == [("1", "1", "0"), ("3", "4", "0")]
    names = {"0": "O", "1": "I-PER", "3": "B-LOC", "4": "E-LOC"}
    mapped = with_label_map(file, names)
    wanted = [("B-PER", "I-PER", "O"), ("B-LOC", "I-LOC", "O")]
    assert [example.tags for example in tokens_of(mapped)] == wanted
    labels = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    known = check_known(file, labels, DecisionRule())
    assert [example.tags for example in tokens_of(known)] == [
        ("B-PER", "B-PER", "O"),
        ("B-LOC", "I-LOC", "O"),
    ]
    assert "labels are taken as the ids of the model's labels" in known.description
    with pytest.raises(DataError, match="does not know"):
        check_known(file, labels[:3], DecisionRule())


def tokens_of(file: ExampleFile) -> list[TokenExample]:
    return [example for example in file if isinstance(example, TokenExample)]
