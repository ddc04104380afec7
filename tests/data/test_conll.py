import re
from pathlib import Path

import pytest

from bertedge.data import Columns, ExampleFile, TokenExample, open_examples
from bertedge.errors import DataError, SettingError
from bertedge.spec import Task


def open_tokens(path: Path, columns: Columns | None = None, **needs: bool) -> ExampleFile:
    return open_examples(path, Task.TOKEN_CLASSIFICATION, columns or Columns(), **needs)


def sentences(file: ExampleFile) -> list[list[str]]:
    """Each sentence as words with their tags, such as "Ada/B-PER"."""
    found = []
    for example in file:
        assert isinstance(example, TokenExample)
        tags = example.tags or ("",) * len(example.tokens)
        found.append([f"{token}/{tag}" for token, tag in zip(example.tokens, tags, strict=True)])
    return found


CONLL_2003 = """-DOCSTART- -X- O O

Ada NNP I-NP I-PER
Lovelace NNP I-NP I-PER
sings VB I-VP O
\t
Bonn NNP I-NP I-LOC


-DOCSTART- -X- O O
Rome NNP I-NP I-LOC
Pisa NNP I-NP B-LOC"""


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "end"),
    [("a.conll", "\n"), ("a.txt", "\r\n"), ("a.bio", "\n"), ("a.iob", "\n"), ("a.txt.gz", "\r\n")],
)
def test_conll_2003_is_read(write, name: str, end: str, start: str) -> None:
    file = open_tokens(write(name, start + CONLL_2003.replace("\n", end)))
    assert sentences(file) == [
        ["Ada/B-PER", "Lovelace/I-PER", "sings/O"],
        ["Bonn/B-LOC"],
        ["Rome/B-LOC", "Pisa/B-LOC"],
    ]
    assert [example.line for example in file] == [3, 7, 11]
    assert file.description == "words from column 0, tags from column 3"
    assert file.columns == Columns(text="0", label="3", separator=" ", format="conll")


def test_columns_can_be_chosen(write) -> None:
    path = write("a.conll", CONLL_2003)
    assert sentences(open_tokens(path, Columns(label="2")))[0] == [
        "Ada/B-NP",
        "Lovelace/I-NP",
        "sings/B-VP",
    ]
    assert sentences(open_tokens(path, Columns(text="1", label="3")))[1] == ["NNP/B-LOC"]


def test_files_with_the_tag_first_are_noticed(write) -> None:
    path = write("a.bio", "B-PER\tAda\nO\tO\n\nO\tsings\n")
    file = open_tokens(path)
    assert sentences(file) == [["Ada/B-PER", "O/O"], ["sings/O"]]
    assert file.description == "words from column 1, tags from column 0"
    assert sentences(open_tokens(path, labelled=False)) == [["Ada/", "O/"], ["sings/"]]
    chosen = Columns(text="1", label="0")
    assert sentences(open_tokens(path, chosen)) == sentences(file)


def test_tabs_separate_where_there_are_tabs(write) -> None:
    path = write("a.conll", "New York\tB-LOC\n\u00a0\tO\n\tO\n\u3000x\tO \n")
    file = open_tokens(path)
    assert sentences(file) == [["New York/B-LOC", "\u00a0/O", "/O", "\u3000x/O"]]
    assert file.columns.separator == "\t"


def test_a_single_line_may_have_spaces_for_a_tab(write) -> None:
    path = write("a.bio", "O\ta\nB-Plot  aliens\n")
    assert sentences(open_tokens(path)) == [["a/O", "aliens/B-Plot"]]


def test_runs_of_spaces_are_one_separator_but_no_break_spaces_are_text(write) -> None:
    path = write("a.txt", "Ada    B-PER \na\u00a0b \t O\n")
    assert sentences(open_tokens(path)) == [["Ada/B-PER", "a\u00a0b/O"]]


@pytest.mark.parametrize("separator", [",", "comma"])
def test_another_separator_can_be_chosen(write, separator: str) -> None:
    path = write("a.csv", "Ada,B-PER\na b,O\n")
    with pytest.raises(SettingError, match=r"is CSV, but .* --format conll --separator comma"):
        open_tokens(path)
    columns = Columns(format="conll", separator=separator)
    assert sentences(open_tokens(path, columns)) == [["Ada/B-PER", "a b/O"]]


def test_tsv_holds_conll_columns_where_words_are_wanted(write) -> None:
    file = open_tokens(write("a.tsv", "Ada\tB-PER\n\nBonn\tB-LOC\n"))
    assert sentences(file) == [["Ada/B-PER"], ["Bonn/B-LOC"]]


def test_words_alone_are_enough_where_tags_are_not_needed(write) -> None:
    path = write("a.conll", "Ada\nsings\n\nBonn\n")
    assert sentences(open_tokens(path, labelled=False)) == [["Ada/", "sings/"], ["Bonn/"]]
    with pytest.raises(DataError, match="1: there is one column only, 'Ada'; write word and tag"):
        open_tokens(path)
    tagged = write("b.conll", "Ada NN PER\n")
    assert sentences(open_tokens(tagged, labelled=False)) == [["Ada/"]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Ada", "1 columns in 'Ada', but 2 in line 1; give every line the same columns"),
        ("Ada NNP B-PER", "3 columns in 'Ada NNP B-PER', but 2 in line 1"),
        ("Ada PER", "the tag 'PER' has no prefix; .*; or choose the column of the tags with"),
        ("Ada X-PER", "the tag 'X-PER' has the unknown prefix 'X'"),
        ("Ada 0", "the tag '0' must be the capital letter O"),
    ],
)
def test_a_bad_line_is_named(write, line: str, message: str) -> None:
    path = write("a.conll", f"a O\n\nb O\n{line}\n")
    with pytest.raises(DataError) as caught:
        list(open_tokens(path))
    assert re.search(f"^{re.escape(str(path))}:4: {message}", str(caught.value))
    assert "\n" not in str(caught.value)


def test_an_empty_tag_is_an_error(write) -> None:
    with pytest.raises(DataError, match="2: the tag is empty"):
        list(open_tokens(write("a.conll", "a\tO\nb\t\n")))


@pytest.mark.parametrize("content", ["\n", " \n\t\n", "-DOCSTART- O\n\n"])
def test_a_file_without_sentences_is_refused(write, content: str) -> None:
    with pytest.raises(DataError, match="has no sentences"):
        open_tokens(write("a.conll", content))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(label="2"), "there is no column 2; found the columns 0 to 1: 'a', 'O'"),
        (Columns(text="5"), "there is no column 5"),
        (Columns(text="token"), "--text-column 'token' cannot name a column of a CoNLL file"),
        (Columns(label="-1"), "--label-column '-1' cannot name"),
        (Columns(label="0", text="0"), "not all different"),
        (Columns(header=True), "CoNLL files have no header"),
        (Columns(pair="1"), "token-classification reads single texts"),
    ],
)
def test_columns_that_cannot_be_are_refused(write, columns: Columns, message: str) -> None:
    with pytest.raises((DataError, SettingError), match=message):
        open_tokens(write("a.conll", "a O\n"), columns)
