import csv
import re
from pathlib import Path

import pytest

from bertedge.data import Columns, ExampleFile, TextExample, open_examples
from bertedge.errors import BertedgeError, DataError, SettingError
from bertedge.spec import Task


def open_texts(path: Path, columns: Columns | None = None, **needs: bool) -> ExampleFile:
    return open_examples(path, Task.TEXT_CLASSIFICATION, columns or Columns(), **needs)


def rows(file: ExampleFile) -> list[tuple[str, ...]]:
    """The strings of each example, without what is None."""
    found = []
    for example in file:
        assert isinstance(example, TextExample)
        fields = (example.text, example.pair, example.label)
        found.append(tuple(field for field in fields if field is not None))
    return found


def test_csv_is_quoted_as_the_rfc_says(write) -> None:
    path = write("a.csv", 'text,label\r\n"a, ""b""\nc",x\r\n\r\nd "e" f,y\r\n"g",z\r\n')
    file = open_texts(path)
    assert rows(file) == [('a, "b"\nc', "x"), ('d "e" f', "y"), ("g", "z")]
    assert [example.line for example in file] == [2, 5, 6]


def test_tsv_is_not_quoted(write) -> None:
    path = write("a.tsv", 'text\tlabel\n"a\tx\nb" "c"\ty\n')
    assert rows(open_texts(path)) == [('"a', "x"), ('b" "c"', "y")]


def test_quoted_tsv_can_be_asked_for(write) -> None:
    path = write("a.tsv", "text\tlabel\n" + "a\tx\n" * 200 + '"a\tb"\tx\n')
    with pytest.raises(DataError, match="--format csv --separator tab"):
        list(open_texts(path))
    path = write("a.tsv", 'text\tlabel\n"a"\tx\n')
    assert rows(open_texts(path)) == [('"a"', "x")]
    assert rows(open_texts(path, Columns(format="csv", separator="tab"))) == [("a", "x")]


def test_tsv_whose_rows_are_even_only_with_quotes_is_quoted(write) -> None:
    path = write("a.tsv", 'text\tlabel\n"a\tb"\tx\n')
    assert rows(open_texts(path)) == [("a\tb", "x")]
    assert rows(open_texts(path, Columns(format="csv", separator="tab"))) == [("a\tb", "x")]


def test_capitals_in_an_extension_make_no_difference(write) -> None:
    path = write("a.tsv.gz", "text\tlabel\nGrüße\tx\nb\ty\n")
    path = path.rename(path.with_name("A.TSV.GZ"))
    assert rows(open_texts(path)) == [("Grüße", "x"), ("b", "y")]


def test_a_text_in_the_last_column_does_not_keep_the_line_end(write) -> None:
    for name, separator in (("a.csv", ","), ("a.tsv", "\t")):
        path = write(name, f"label{separator}text\r\nx{separator}a \r\n")
        assert rows(open_texts(path)) == [("a ", "x")]


def test_a_last_line_without_an_end_and_blank_lines_are_fine(write) -> None:
    assert rows(open_texts(write("a.csv", "\n  \ntext,label\n\na,x\n \nb,y"))) == [
        ("a", "x"),
        ("b", "y"),
    ]
    assert rows(open_texts(write("a.tsv", "\n  \ntext\tlabel\n\na\tx\n \nb\ty"))) == [
        ("a", "x"),
        ("b", "y"),
    ]


@pytest.mark.parametrize(
    ("header", "text", "pair", "label"),
    [
        ("text,label", "text", None, "label"),
        ("Sentence, Label ", "Sentence", None, "Label"),
        ("id,utterance,intent", "utterance", None, "intent"),
        ("cat,label,review", "review", None, "label"),
        ("text,category,title", "text", None, "category"),
        ("text,label,labels,intent", "text", None, "label"),
        ("idx,sentence1,sentence2,label", "sentence1", "sentence2", "label"),
        ("text_a,text_b,class", "text_a", "text_b", "class"),
        ("s2,s1,target", "s1", "s2", "target"),
        ("question1,question2,is_duplicate", "question1", "question2", "is_duplicate"),
        ("Quality,#1 ID,#2 ID,#1 String,#2 String", "#1 String", "#2 String", "Quality"),
        ("premise,hypothesis,gold_label", "premise", "hypothesis", "gold_label"),
        ("sentence1,other,label", "sentence1", None, "label"),
        ("text,hypothesis,label", "text", None, "label"),
    ],
)
def test_known_names_are_guessed_and_said(
    write, header: str, text: str, pair: str | None, label: str
) -> None:
    width = header.count(",") + 1
    file = open_texts(write("a.csv", f"{header}\n{','.join('abcdefg'[:width])}\n"))
    columns = file.columns
    assert (columns.text, columns.pair, columns.label, columns.header) == (text, pair, label, True)
    assert file.pair == (pair is not None)
    second = f", second text from column {pair!r}" if pair else ""
    assert file.description == f"text from column {text!r}{second}, label from column {label!r}"


def test_a_pair_is_guessed_only_where_it_is_wanted(write) -> None:
    path = write("a.csv", "sentence1,sentence2,label\na,b,x\n")
    assert rows(open_texts(path, pair=False)) == [("a", "x")]
    assert rows(open_texts(path, Columns(text="sentence1"))) == [("a", "x")]
    assert rows(open_texts(path, Columns(text="sentence1"), pair=True)) == [("a", "b", "x")]
    assert rows(open_texts(path, Columns(text="sentence2", pair="sentence1"))) == [("b", "a", "x")]
    named = write("b.csv", "left,right,label\na,b,x\n")
    assert rows(open_texts(named, Columns(text="left"), pair=True)) == [("a", "b", "x")]
    single = write("c.csv", "text,label\na,x\n")
    with pytest.raises(DataError, match=r"the second text of the pair; .* --pair-column"):
        open_texts(single, pair=True)
    with pytest.raises(SettingError, match="reads single texts"):
        open_texts(path, Columns(pair="sentence2"), pair=False)


def test_columns_are_taken_by_name(write) -> None:
    path = write("a.csv", "text,label,Stars,body of it\na,x,3,b\n")
    assert rows(open_texts(path, Columns(text="body of it", label="Stars"))) == [("b", "3")]
    # With a header, a number is a name first and counts columns else.
    assert rows(open_texts(path, Columns(text="3", label="2", header=True))) == [("b", "3")]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(text="txt"), "1: there is no column 'txt'; found 'text', 'label', 'z'; did you"),
        (Columns(label="Lable"), "no column 'Lable'; .*; did you mean 'label'\\?$"),
        (Columns(pair="quite other"), "no column 'quite other'; found 'text', 'label', 'z'$"),
        (Columns(text="7", header=True), "no column '7'"),
        (Columns(text="text", label="text"), "not all different"),
    ],
)
def test_a_missing_column_is_answered_with_those_found(
    write, columns: Columns, message: str
) -> None:
    with pytest.raises(BertedgeError, match=message):
        open_texts(write("a.csv", "text,label,z\na,x,y\n"), columns)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("title,content,label", "'title' and 'content' could each be the text; .* --text-column"),
        ("text,intent,category", "'intent' and 'category' could each be the label"),
        ("text,text,label", "'text' and 'text' could each be the text"),
    ],
)
def test_several_candidates_are_left_to_the_user(write, header: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_texts(write("a.csv", f"{header}\na,b,c\n"))


def test_a_name_that_two_columns_have_cannot_be_chosen(write) -> None:
    with pytest.raises(DataError, match="'text' names 2 columns; rename all but one"):
        open_texts(write("a.csv", "text,text,label\na,b,c\n"), Columns(text="text"))


def test_numbers_mean_a_file_without_a_header(write) -> None:
    path = write("a.tsv", "a\tx\tp\nb\ty\tq\n")
    file = open_texts(path, Columns(text="0", label="2"))
    assert rows(file) == [("a", "p"), ("b", "q")]
    assert file.columns.header is False
    assert file.description == "text from column 0, label from column 2 (no header)"
    with pytest.raises(DataError, match=r"no column '3': .* here 0 to 2"):
        open_texts(path, Columns(text="3", label="2"))
    with pytest.raises(DataError, match="no column 'text': without a header columns are numbers"):
        open_texts(path, Columns(text="text", header=False))


def test_without_a_header_only_what_leaves_no_choice_is_guessed(write) -> None:
    two = write("a.tsv", "a\tx\nb\ty\n")
    assert rows(open_texts(two, Columns(header=False))) == [("a", "x"), ("b", "y")]
    assert rows(open_texts(two, Columns(text="1"))) == [("x", "a"), ("y", "b")]
    assert rows(open_texts(two, Columns(label="0"))) == [("x", "a"), ("y", "b")]
    three = write("b.tsv", "a\tb\tx\n")
    assert rows(open_texts(three, Columns(header=False), pair=True)) == [("a", "b", "x")]
    assert rows(open_texts(three, Columns(text="1", label="2"), pair=True)) == [("b", "a", "x")]
    for columns in (Columns(), Columns(header=False), Columns(text="0")):
        with pytest.raises(DataError, match="column 0 is 'a', column 1 is 'b', column 2 is 'x'"):
            open_texts(three, columns)


def test_two_columns_without_known_names_need_a_word(write) -> None:
    path = write("a.csv", "play some jazz,music\nstop,control\n")
    with pytest.raises(DataError) as caught:
        open_texts(path)
    assert re.search(
        r"a\.csv:1: the first row has no known column names: column 0 is 'play some jazz', "
        r"column 1 is 'music'; choose with --text-column N --label-column N",
        str(caught.value),
    )


def test_one_known_name_alone_makes_no_header(write) -> None:
    """It could be data, such as a question type; said by name it is a header."""
    path = write("a.csv", "text,stars\na,many\n")
    with pytest.raises(DataError, match=r"column 1 is 'stars'; .*or names, if it is a header"):
        open_texts(path)
    assert rows(open_texts(path, Columns(label="stars"))) == [("a", "many")]


def test_a_header_is_not_taken_for_data(write) -> None:
    path = write("a.csv", "text,label\na,x\n")
    with pytest.raises(DataError, match=r"1: the first row looks like a header .*--no-header"):
        open_texts(path, Columns(text="0", label="1"))
    forced = Columns(text="0", label="1", header=False)
    assert rows(open_texts(path, forced)) == [("text", "label"), ("a", "x")]


def test_labels_are_optional_where_they_are_not_needed(write) -> None:
    path = write("a.csv", "text,label\na,\n")
    assert rows(open_texts(path, labelled=False)) == [("a",)]
    with pytest.raises(DataError, match="2: the label is empty"):
        open_texts(path, Columns(label="label"), labelled=False)
    assert rows(open_texts(write("a.txt", "one text\n\nanother\n"), labelled=False)) == [
        ("one text",),
        ("another",),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a", "the row has 1 column, the first row has 2: 'a' …; add the missing"),
        ("a,b,c", "the row has 3 columns, the first row has 2: .* between quotes"),
        (",x", "the text is empty"),
        (" \u3000 ,x", "the text is empty"),
        ("a,", "the label is empty"),
        ("a,  ", "the label is empty"),
        ("a,nan", "the label is nan, a missing value"),
        ("a,NaN", "the label is NaN, a missing value"),
        ('"a,x', "a quote .* opens in this row and is never closed"),
        ('"a"b,x', "text follows a closing quote"),
        ("a\rb,x", "a carriage return without a line feed"),
    ],
)
def test_a_bad_row_is_named_with_its_line(write, row: str, message: str) -> None:
    path = write("a.csv", f'text,label\n"good\none",x\n{row}\nb,y\n')
    with pytest.raises(DataError) as caught:
        list(open_texts(path))
    assert re.match(f"{re.escape(str(path))}:4: {message}", str(caught.value))
    assert "\n" not in str(caught.value)


def test_an_empty_second_text_is_an_error(write) -> None:
    with pytest.raises(DataError, match="2: the second text is empty"):
        open_texts(write("a.csv", "s1,s2,label\na,,x\n"))


def test_words_that_only_look_missing_are_labels(write) -> None:
    path = write("a.csv", "text,label\na,None\nb,null\nc,NAN\nnan, 0 \n")
    assert [row[-1] for row in rows(open_texts(path))] == ["None", "null", "NAN", "0"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\n", "has a header but no rows"),
        ("a.csv", "text,label", "has a header but no rows"),
        ("a.csv", "\n\n  \n", "is empty"),
        ("a.tsv", "\ufeff", "is empty"),
        ("a.tsv.gz", "", "is empty"),
    ],
)
def test_a_file_without_rows_is_refused(write, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_texts(write(name, content))


def test_a_very_long_field_is_read_and_an_open_quote_does_not_eat_the_file(write) -> None:
    csv.field_size_limit(131_072)  # Python's own
    long = "x" * 200_000
    assert rows(open_texts(write("a.csv", f'text,label\n"{long}",y\n'))) == [(long, "y")]
    path = write("b.csv", 'text,label\na,x\n"b,x\n' + "c,y\n" * 100)
    with pytest.raises(DataError, match=r"b\.csv:3: a quote .* is never closed"):
        list(open_texts(path))


def test_rows_before_a_bad_one_are_given_first(write) -> None:
    file = open_texts(write("a.csv", "text,label\na,x\nb\n"))
    stream = iter(file)
    assert next(stream).line == 2
    with pytest.raises(DataError, match=":3:"):
        next(stream)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_known_second_text_is_not_left_out_in_silence(write, name: str) -> None:
    json_row = '{"question1": "a", "Question2": "b", "label": "x"}\n'
    path = write(name, json_row if "json" in name else "question1,Question2,label\na,b,x\n")
    file = open_texts(path, Columns(text="question1"))
    assert (
        "'Question2' is left out (for pairs of texts: --pair-column Question2)" in file.description
    )
    assert rows(file) == [("a", "x")]
    for columns, pair in (
        (Columns(text="question1"), False),
        (Columns(text="question1", pair="Question2"), None),
        (Columns(), None),
    ):
        assert "left out" not in open_texts(path, columns, pair=pair).description
    other = write(name, (path.read_text()).replace("Question2", "note"))
    assert "left out" not in open_texts(other, Columns(text="question1")).description
