"""Lines of a label and a text."""

from dataclasses import replace
from pathlib import Path

import pytest

from bertedge.cli.texts import read_texts
from bertedge.data import Columns, ExampleFile, TextExample, open_examples
from bertedge.errors import DataError, SettingError
from bertedge.progress import Silent
from bertedge.spec import ProblemType, Task

MULTI = ProblemType.MULTI_LABEL


def ask(path: Path, columns: Columns | None = None, **settings: object) -> ExampleFile:
    return open_examples(path, Task.TEXT_CLASSIFICATION, columns or Columns(), **settings)


def rows(file: ExampleFile) -> list[tuple[str | None, str]]:
    return [(each.label, each.text) for each in file if isinstance(each, TextExample)]


TREC = "".join(f"NUM:dist How far is it , {i}\nDESC:def What 's a {i}\n" for i in range(10))


@pytest.mark.parametrize(
    ("content", "first"),
    [
        ("1 a good film\n\n0 a bad film\n", ("1", "a good film")),
        ("+1  good one\n-1 bad one\n+1 fine\n-1 poor\n", ("+1", "good one")),
        ("__label__x a\n__label__y b c\n", ("x", "a")),
        (TREC, ("NUM:dist", "How far is it , 0")),
    ],
)
def test_a_first_word_that_is_a_label_is_taken_for_one(write, content: str, first) -> None:
    for name in ("a.txt", "a.txt.gz"):
        file = ask(write(name, content))
        assert rows(file)[0] == first
        assert file.description == "label from the first word of each line, text from the rest"
        assert rows(ask(file.path, file.columns)) == rows(file)
        assert rows(ask(file.path, labelled=False))[0] == (None, first[1])


@pytest.mark.parametrize(
    "content",
    [
        "the film is good\na film is bad\nthe rest\n" * 3,  # few words, but too few rows of each
        "1 one\n2 two\n3 three\n4 four\n5 five\n",  # a numbered list
        "1 good\nbad\n1 good\n",
        "1\tgood\n",
    ],
)
def test_other_texts_are_not(write, content: str) -> None:
    path = write("a.txt", content)
    try:
        file = ask(path)
    except DataError:
        return
    assert file.columns.format == "tsv"


def test_the_format_can_be_said(write) -> None:
    file = ask(write("a.data", "good\ta film\nbad a  film\n"), Columns(format="label-text"))
    assert rows(file) == [("good", "a film"), ("bad", "a  film")]


def test_fasttext_gives_a_text_several_labels(write) -> None:
    path = write("a.txt", "__label__a __label__b c d\n__label__a e\n")
    assert [e.labels for e in ask(path, problem_type=MULTI) if isinstance(e, TextExample)] == [
        ("a", "b"),
        ("a",),
    ]
    with pytest.raises(DataError, match=r"a\.txt:1: there are 2 labels, 'a b'; .*--problem-type"):
        list(ask(path))
    path = write("a.txt", "__label__a __label__ __label__b c\n")
    assert [e.labels for e in ask(path, problem_type=MULTI) if isinstance(e, TextExample)] == [
        ("a", "b")
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [("1", "the text is empty"), ("__label__ a", "the label is empty"), ("nan a", "a missing")],
)
def test_a_bad_line_is_named(write, line: str, message: str) -> None:
    path = write("a.txt", f"__label__x a\n{line}\n")
    with pytest.raises(DataError, match=rf"a\.txt:2: .*{message}"):
        list(ask(path, Columns(format="label-text")))


@pytest.mark.parametrize(
    "columns",
    [Columns(text="0"), Columns(label="1"), Columns(pair="2"), Columns(header=True)],
)
def test_there_are_no_columns_to_choose(write, columns: Columns) -> None:
    with pytest.raises(SettingError):
        ask(write("a.txt", "1 a\n0 b\n"), replace(columns, format="label-text"))


def test_words_are_not_read_from_such_lines(write) -> None:
    with pytest.raises(SettingError, match="LABEL-TEXT"):
        open_examples(
            write("a.txt", "1 a\n"), Task.TOKEN_CLASSIFICATION, Columns(format="label-text")
        )


def test_a_model_trained_on_such_lines_is_given_their_texts_alone(write) -> None:
    path = write("a.txt", "1 a good film\n0 a bad film\n")
    for format_, texts in (
        ("label-text", ["a good film", "a bad film"]),
        (None, ["1 a good film", "0 a bad film"]),
    ):
        trained = Columns(format=format_)
        assert list(read_texts(path, Columns(), Silent(), trained=trained)) == texts
