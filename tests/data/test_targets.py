"""Several labels a text, and values, from tables and JSON lines."""

import json
from pathlib import Path

import pytest

from bertedge.data import Columns, TextExample, open_examples
from bertedge.errors import DataError, SettingError
from bertedge.spec import ProblemType, Task

SEVERAL = ProblemType.MULTI_LABEL
VALUE = ProblemType.REGRESSION


def read(
    path: Path, problem_type: ProblemType, columns: Columns | None = None
) -> list[TextExample]:
    task = Task.TEXT_CLASSIFICATION
    file = open_examples(path, task, columns or Columns(), problem_type=problem_type)
    return [example for example in file if isinstance(example, TextExample)]


def test_the_labels_of_a_cell_are_parted_and_an_empty_cell_has_none(write) -> None:
    path = write("a.csv", 'text,labels\nup,"joy, love"\ndown,anger\nso,\nagain,"joy,joy"\n')
    rows = read(path, SEVERAL)
    assert [row.labels for row in rows] == [("joy", "love"), ("anger",), (), ("joy",)]
    assert [row.names for row in rows] == [row.labels for row in rows]
    assert all(row.label is None and row.value is None for row in rows)


def test_the_separator_of_labels_is_the_users(write) -> None:
    path = write("a.tsv", "text\tlabels\nup\tjoy|a,b\n")
    assert read(path, SEVERAL, Columns(label_separator="pipe"))[0].labels == ("joy", "a,b")
    file = open_examples(path, Task.TEXT_CLASSIFICATION, problem_type=SEVERAL)
    assert file.columns.label_separator == "," and "labels from column 'labels'" in file.description


def test_json_lists_hold_several_labels(write) -> None:
    values = [["joy", "love"], [], [3, True], "joy,love", 7]
    lines = [json.dumps({"text": "x", "labels": value}) for value in values]
    rows = read(write("a.jsonl", "\n".join(lines)), SEVERAL)
    assert [row.labels for row in rows] == [
        ("joy", "love"),
        (),
        ("3", "true"),
        ("joy", "love"),
        ("7",),
    ]


def test_values_are_numbers_in_tables_and_in_json(write) -> None:
    rows = read(write("a.csv", "sentence1,sentence2,score\na,b,3.25\nc,d, -1e-3 \n"), VALUE)
    assert [row.value for row in rows] == [3.25, -0.001]
    assert [row.input for row in rows] == [("a", "b"), ("c", "d")]
    lines = '{"text": "x", "label": 2}\n{"text": "y", "label": "0.5"}\n'
    assert [row.value for row in read(write("a.jsonl", lines), VALUE)] == [2.0, 0.5]


@pytest.mark.parametrize(
    ("name", "content", "problem", "line", "message"),
    [
        ("a.csv", "text,label\na,1\nb,none\n", VALUE, 3, "'none' is no finite number"),
        ("a.csv", "text,label\na,1\nb,inf\n", VALUE, 3, "'inf' is no finite number"),
        ("a.csv", "text,label\na,1\nb,nan\n", VALUE, 3, "the label is nan, a missing value"),
        ("a.csv", "text,label\na,\n", VALUE, 2, "the label is empty; fill it in"),
        ("a.csv", 'text,label\na,"0,5"\n', VALUE, 2, "'0,5' is no finite number"),
        ("a.jsonl", '{"text": "a", "label": NaN}', VALUE, 1, "is NaN, a missing value"),
        ("a.jsonl", '{"text": "a", "label": true}', VALUE, 1, "'label' is true, no number"),
        ("a.jsonl", '{"text": "a", "label": [1]}', VALUE, 1, r"'label' is \[1\], no number"),
        ("a.csv", 'text,label\na,"x,,y"\n', SEVERAL, 2, "a label of 'x,,y', split at ',', is em"),
        ("a.csv", 'text,label\na,"x,nan"\n', SEVERAL, 2, "is nan, a missing value"),
        ("a.jsonl", '{"text": "a", "label": null}', SEVERAL, 1, r"write \[\] for no label"),
        ("a.jsonl", '{"text": "a", "label": [""]}', SEVERAL, 1, "the label is empty"),
        ("a.jsonl", '{"text": "a", "label": [["x"]]}', SEVERAL, 1, "labels are strings in one"),
        (
            "a.jsonl",
            '{"text": "a", "label": ["x"]}',
            ProblemType.SINGLE_LABEL,
            1,
            "for several labels a row: --problem-type multi_label_classification",
        ),
    ],
)
def test_a_label_that_cannot_be_read_is_one_line_with_its_place(
    write, name: str, content: str, problem: ProblemType, line: int, message: str
) -> None:
    path = write(name, content)
    with pytest.raises(DataError, match=message) as error:
        read(path, problem)
    assert str(error.value).startswith(f"{path}:{line}: ") and "\n" not in str(error.value)


def test_a_separator_of_labels_needs_several(write) -> None:
    path = write("a.csv", "text,label\na,b\n")
    with pytest.raises(SettingError, match="say --problem-type multi_label_classification too"):
        read(path, ProblemType.SINGLE_LABEL, Columns(label_separator=";"))
