"""What Excel and others write under the name of CSV is read as what it is, and that is said."""

import codecs
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bertedge.data import Columns, ExampleFile, TextExample, open_examples
from bertedge.errors import DataError, SettingError
from bertedge.spec import Task

Write = Callable[[str, str | bytes], Path]

TABLE = [
    ("Größe passt, Farbe auch; gern wieder", "Lob"),
    ('Der Verkäufer sagte "nein"', "Kritik"),
    ("Zeile eins\nZeile zwei", "Kritik"),
    ("Preis – 5 €", "Frage"),
    ("einfach gut", "Lob"),
    ("Wo bleibt mein Paket?", "Frage"),
    ("kaputt", "Kritik"),
]
MARKS = {
    "utf-8": b"",
    "utf-8-sig": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
}


def open_texts(path: Path, columns: Columns | None = None, **needs: object) -> ExampleFile:
    return open_examples(path, Task.TEXT_CLASSIFICATION, columns or Columns(), **needs)


def rows(file: ExampleFile) -> list[tuple[str, str | None]]:
    return [(each.text, each.label) for each in file if isinstance(each, TextExample)]


def excel(header: str, separator: str, *, end: str = "\r\n", cells: object = TABLE) -> str:
    """Write a table as Excel does: quotes only where they are needed."""

    def cell(text: str) -> str:
        needs = any(mark in text for mark in (separator, '"', "\n"))
        return '"' + text.replace('"', '""') + '"' if needs else text

    lines = [header.replace(",", separator)] if header else []
    lines += [separator.join(map(cell, row)) for row in cells]
    return end.join(lines) + end


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.csv.gz"])
def test_every_separator_and_byte_order_mark_is_read_under_every_name(
    write: Write, name: str, separator: str
) -> None:
    names = {";": "semicolon", "\t": "tab", ",": "comma", "|": "pipe"}
    for encoding, mark in MARKS.items():
        content = excel("Text,Label", separator).encode(encoding.removesuffix("-sig"))
        path = write(name, mark + content)
        file = open_texts(path)
        assert rows(file) == TABLE
        said = f"columns are separated by {names[separator]}" in file.description
        assert said == (separator != ("," if "csv" in name else "\t"))
        assert rows(open_texts(path, file.columns)) == rows(file)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("header", ["Text,Label", "Nachricht,Art", "Art,Nachricht", ""])
def test_names_nobody_knows_and_no_names_are_told_by_the_cells(
    write: Write, header: str, labelled: bool
) -> None:
    turned = header.startswith("Art")
    cells = [row[::-1] for row in TABLE] if turned else TABLE
    path = write("a.csv", excel(header, ";", cells=cells))
    file = open_texts(path, labelled=labelled)
    assert rows(file) == [(text, label if labelled else None) for text, label in TABLE]
    assert file.columns.header is bool(header)


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\r\n', "sep=;\n"])
def test_the_line_that_excel_writes_first_states_the_separator(write: Write, first: str) -> None:
    file = open_texts(write("a.csv", first + excel("Text,Label", ";")))
    assert rows(file) == [(text, label) for text, label in TABLE]
    assert [each.line for each in file][:2] == [3, 4]
    told = open_texts(write("a.csv", first + excel("Text,Label", ";")), Columns(separator=";"))
    assert rows(told) == rows(file)


def test_what_is_told_wins_over_what_is_seen(write: Write) -> None:
    path = write("a.csv", "text;label\na;x\n")
    with pytest.raises(DataError, match="no column 'text'"):
        open_texts(path, Columns(separator="comma", text="text"))


def test_one_column_of_texts_stays_one(write: Write) -> None:
    for lines in ("text\na; b\nc; d\n", "a; b\nc; d\n", "a | b\nc | d\n", "a\nb;c\n"):
        file = open_texts(write("a.csv", lines), labelled=False)
        assert len(file.columns.separator or "") == 1 and file.columns.text in ("text", "0")
        found = [text for text, _ in rows(file)]
        assert found == [line for line in lines.splitlines() if line != "text"]


def test_a_bad_row_of_a_table_changes_no_separator(write: Write) -> None:
    path = write("a.csv", "text,label\n" + "a;b;c,x\n" * 5 + "a;b;c\n")
    with pytest.raises(DataError, match=":7: the row has 1 column, the first row has 2"):
        list(open_texts(path))


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16-le", "gb18030", "shift_jis"])
def test_an_encoding_can_be_told(write: Write, encoding: str) -> None:
    words = {"gb18030": "好的,中文", "shift_jis": "名前,日本語"}
    first, second = words.get(encoding, "größe,ü").split(",")
    path = write("a.csv", f"text,label\n{first},x\n{second},y\n".encode(encoding))
    with pytest.raises(DataError, match=r"--encoding"):
        list(open_texts(path))
    file = open_texts(path, Columns(encoding=encoding))
    assert rows(file) == [(first, "x"), (second, "y")]
    assert list(open_texts(path, file.columns)) == list(file)


def test_the_remedy_that_an_error_names_is_one(write: Write) -> None:
    path = write("a.csv", excel("Text,Label", ";").replace("–", "-").encode("cp1252"))
    with pytest.raises(DataError, match=r"a\.csv:2: .* say --encoding cp1252") as caught:
        open_texts(path)
    assert len(str(caught.value)) < 300
    assert rows(open_texts(path, Columns(encoding="cp1252")))[1] == TABLE[1]


@pytest.mark.parametrize("name", ["", "none", "base64", "rot13", "utf-9", "x" * 10_000, "\0", "ü"])
def test_an_encoding_that_is_none_is_refused(write: Write, name: str) -> None:
    with pytest.raises(SettingError, match=r"--encoding .* is unknown") as caught:
        open_texts(write("a.csv", "text,label\na,x\n"), Columns(encoding=name))
    assert len(str(caught.value)) < 300


TRAINED = Columns(text="Anliegen", label="Ziel", separator=";", header=True, format="csv")


@pytest.mark.parametrize("separator", [";", ",", "\t"])
@pytest.mark.parametrize("labelled", [True, False])
def test_the_columns_of_the_training_are_found_again(
    write: Write, separator: str, labelled: bool
) -> None:
    header = ("id", "text", "anliegen ", "Ziel", "label")
    for order in itertools.islice(itertools.permutations(header), 0, None, 17):
        cells = {"id": "7", "text": "falsch", "anliegen ": "richtig", "Ziel": "x", "label": "y"}
        lines = [separator.join(order), separator.join(cells[name] for name in order)]
        path = write("a.csv", "\n".join(lines) + "\n")
        file = open_texts(path, trained=TRAINED, labelled=labelled)
        assert rows(file) == [("richtig", "x" if labelled else None)]
        assert "training" not in file.description
        told = open_texts(path, Columns(text="text"), trained=TRAINED, labelled=labelled)
        assert rows(told) == [("falsch", "x" if labelled else None)]


def test_the_second_text_of_the_training_is_left_where_the_first_is_told(write: Write) -> None:
    trained = replace(TRAINED, pair="Antwort")
    path = write("a.csv", "Anliegen;Antwort;Ziel;text\na;b;x;c\n")
    assert [each.input for each in open_texts(path, trained=trained)] == [("a", "b")]
    assert rows(open_texts(path, Columns(text="text"), trained=trained)) == [("c", "x")]
    assert not open_texts(path, Columns(text="text"), trained=trained).pair


def test_a_file_without_the_trainings_columns_is_guessed_and_that_is_said(write: Write) -> None:
    file = open_texts(write("a.csv", "text,label\na,x\n"), trained=TRAINED)
    assert rows(file) == [("a", "x")]
    assert (
        "it has not the columns of the training (text 'Anliegen', label 'Ziel')" in file.description
    )
    lone = open_texts(write("a.csv", "Anliegen\na\n"), trained=TRAINED, labelled=False)
    assert rows(lone) == [("a", None)]
    assert lone.description == "text from column 'Anliegen'"


def test_numbers_of_the_training_hold_where_there_are_as_many_columns(write: Write) -> None:
    trained = Columns(text="2", label="0", separator="\t", header=False, format="tsv")
    path = write("a.tsv", "x\tq\ta\ny\tq\tb\n")
    assert rows(open_texts(path, trained=trained)) == [("a", "x"), ("b", "y")]
    assert rows(open_texts(path, trained=trained, labelled=False)) == [("a", None), ("b", None)]
    lone = write("b.tsv", "a\nb\n")
    assert rows(open_texts(lone, trained=trained, labelled=False)) == [("a", None), ("b", None)]


def test_the_format_of_the_training_is_that_of_an_unknown_extension(write: Write) -> None:
    path = write("a.dat", "Anliegen;Ziel\na;x\n")
    assert rows(open_texts(path, trained=TRAINED)) == [("a", "x")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson"])
def test_keys_of_the_training_are_found_again(write: Write, name: str) -> None:
    path = write(name, '{"text": "f", "Anliegen": "r", "Ziel": "x"}\n')
    assert rows(open_texts(path, trained=TRAINED)) == [("r", "x")]


def test_unicode_text_of_excel_is_quoted_and_other_tsv_is_not(write: Write) -> None:
    content = 'Text\tLabel\r\n"sagte ""nein"""\tKritik\r\ngut\tLob\r\n'
    path = write("a.txt", codecs.BOM_UTF16_LE + content.encode("utf-16-le"))
    assert rows(open_texts(path)) == [('sagte "nein"', "Kritik"), ("gut", "Lob")]
    assert rows(open_texts(write("b.txt", content)))[0] == ('"sagte ""nein"""', "Kritik")


def test_the_separator_of_another_formats_training_does_not_cut_a_table(write: Write) -> None:
    trained = Columns(text="Text", label="Label", separator=",", header=True, format="csv")
    path = write("a.tsv", "ja, gern\tLob\nnein, nie\tKritik\nnun, ja\tLob\n" * 3)
    assert rows(open_texts(path, trained=trained))[0] == ("ja, gern", "Lob")
