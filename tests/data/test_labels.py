"""The labels of a file beside those of a model."""

import json
import re
from pathlib import Path

import pytest

from bertedge.data import Columns, ExampleFile, TextExample, TokenExample, open_examples
from bertedge.data.label_map import read_label_map
from bertedge.data.labels import check_known, near_equal, survey, with_label_map
from bertedge.errors import DataError, FaultsError
from bertedge.spec import DecisionRule, ProblemType, Task

MODEL = ("Frage", "Kritik", "Lob")
PLAIN = DecisionRule()


def opened(write, labels: list[object], **settings: object) -> ExampleFile:
    rows = [json.dumps({"text": "a", "label": label}) for label in labels]
    path = write("a.jsonl", "\n".join(rows) + "\n")
    return open_examples(path, Task.TEXT_CLASSIFICATION, **settings)


def labels_of(file: ExampleFile) -> list[str | None]:
    return [each.label for each in file if isinstance(each, TextExample)]


@pytest.mark.parametrize("prefix", ["", "LABEL_"])
def test_ids_of_the_models_labels_are_taken_as_these_and_that_is_said(write, prefix: str) -> None:
    file = opened(write, [f"{prefix}{i}" for i in (2, 0, 1, 2)])
    known = check_known(file, MODEL, PLAIN)
    assert labels_of(known) == ["Lob", "Frage", "Kritik", "Lob"]
    assert (
        f"ids of the model's labels: {prefix}0 is 'Frage', {prefix}1 is 'Kritik'"
        in known.description
    )
    assert "\n" not in known.description


def test_whole_numbers_of_json_are_ids_too(write) -> None:
    assert labels_of(check_known(opened(write, [0, 2]), MODEL, PLAIN)) == ["Frage", "Lob"]


def test_several_labels_may_be_ids(write) -> None:
    several = DecisionRule(problem_type=ProblemType.MULTI_LABEL)
    file = opened(write, [["0", "2"], [], ["1"]], problem_type=several.problem_type)
    known = check_known(file, MODEL, several)
    found = [each.labels for each in known if isinstance(each, TextExample)]
    assert found == [("Frage", "Lob"), (), ("Kritik",)]


@pytest.mark.parametrize(
    ("labels", "model"),
    [
        (["0", "3"], MODEL),  # there is no label 3
        (["0", "Lob"], MODEL),  # names and numbers
        (["0", "1"], ("1", "2", "3")),  # the model's labels are numbers themselves
        (["LABEL_0"], ("LABEL_1", "LABEL_2")),
        (["00", "01"], MODEL),
        (["-1", "0"], MODEL),
        (["0.0", "1.0"], MODEL),
    ],
)
def test_what_may_be_no_id_is_unknown(write, labels: list[object], model: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="the model does not know"):
        check_known(opened(write, labels), model, PLAIN)


def test_a_models_labels_that_are_ids_only_are_matched(write) -> None:
    model = ("LABEL_0", "LABEL_1")
    assert labels_of(check_known(opened(write, [1, 0]), model, PLAIN)) == ["LABEL_1", "LABEL_0"]


def test_all_unknown_labels_are_named_with_their_counts(write) -> None:
    file = opened(write, ["Lob", "lob", "Frge", "lob", "Frage"])
    with pytest.raises(DataError) as caught:
        check_known(file, MODEL, PLAIN)
    assert re.search(
        r"a\.jsonl:2: the model does not know 2 labels 'lob' \(2\), 'Frge' \(1\); its 3 are Frage, "
        r"Kritik, Lob; .*--label-map FILE$",
        str(caught.value),
    )


@pytest.mark.parametrize("count", [1, 2, 30, 3000])
@pytest.mark.parametrize("length", [1, 40, 5000])
def test_however_many_labels_are_unknown_the_message_is_bounded(
    write, count: int, length: int
) -> None:
    file = opened(write, [f"q{i}".rjust(length, "x") for i in range(count)])
    with pytest.raises(DataError) as caught:
        check_known(file, MODEL, PLAIN)
    place = len(str(file.path))
    lines = [str(caught.value)[place:], *caught.value.details]
    assert len(lines) <= 21 and all(len(line) <= 300 and "\n" not in line for line in lines)
    if count == 30 and length == 1:
        listed = " ".join(lines)
        assert all(f"'q{i}' (1)" in listed for i in range(count))
    if count == 3000:
        assert re.search(r"and [\d,]+ more$", lines[-1])


def test_all_bad_rows_of_a_file_are_named_together(write) -> None:
    rows = [f"text {i},{'' if i % 3 == 0 else 'Lob'}" for i in range(1, 100)]
    path = write("a.csv", "text,label\n" + "\n".join(rows) + "\n")
    file = open_examples(path, Task.TEXT_CLASSIFICATION)
    with pytest.raises(FaultsError, match=r"a\.csv has 33 bad rows \(the first 20 follow\)") as bad:
        check_known(file, MODEL, PLAIN)
    assert [int(line.split(":")[1]) for line in bad.value.details] == list(range(4, 64, 3))
    assert all("the label is empty" in line for line in bad.value.details)


def test_bad_rows_at_the_head_are_named_with_the_others(write) -> None:
    path = write("a.csv", "text,label\n,x\na,x\n,y\n")
    with pytest.raises(FaultsError, match=r"has 2 bad rows; fix them, or .*--bad-rows skip") as bad:
        open_examples(path, Task.TEXT_CLASSIFICATION)
    assert [line.partition(": ")[2] for line in bad.value.details] == [
        "the text is empty; fill it in or delete the row"
    ] * 2


def test_a_single_bad_row_is_one_line(write) -> None:
    path = write("a.csv", "text,label\na,x\n,y\nb,x\n")
    with pytest.raises(DataError, match=r"a\.csv:3: the text is empty") as caught:
        survey(open_examples(path, Task.TEXT_CLASSIFICATION))
    assert caught.value.details == ()


def test_what_ends_the_reading_is_named_behind_the_rows_before_it(write) -> None:
    path = write("a.csv", "text,label\n" + "a,x\n" * 1000 + ',y\nb,x\n,y\n"open,x\n')
    with pytest.raises(FaultsError, match="has 3 bad rows") as caught:
        survey(open_examples(path, Task.TEXT_CLASSIFICATION))
    assert 'a quote (") opens in this row' in caught.value.details[-1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("map.json", '{"neg": "Kritik", "pos": "Lob", "0": "Frage"}'),
        ("map.csv", "neg,Kritik\npos,Lob\n0,Frage\n"),
        ("map.csv", "\ufeffneg;Kritik\r\npos;Lob\r\n0;Frage\r\n"),
        ("map.tsv", "neg\tKritik\npos\tLob\n\n0\tFrage"),
        ("map.txt", '"neg", Kritik\n"pos", Lob\n0, Frage\n'),
    ],
)
def test_a_label_map_renames_the_labels_of_a_file(write, name: str, content: str) -> None:
    names = read_label_map(write(name, content))
    assert names == {"neg": "Kritik", "pos": "Lob", "0": "Frage"}
    file = with_label_map(opened(write, ["pos", "Lob", "neg", "0"]), names)
    assert labels_of(check_known(file, MODEL, PLAIN)) == ["Lob", "Lob", "Kritik", "Frage"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("map.json", "[]", "must be an object"),
        ("map.json", '{"a": null}', "must be an object"),
        ("map.json", "{", "is not JSON"),
        ("map.csv", "a\n", "row 1 has 1 columns; a label map has two"),
        ("map.csv", "a,b,c\n", "row 1 has 3 columns"),
        ("map.csv", "a,b\na,c\n", "the label 'a' is given two names, 'b' and 'c'"),
        ("map.csv", "a,\n", "the label 'a' is given no name"),
        ("map.json", "{}", "maps no labels"),
        ("map.csv", 'a,b\n"c,d\n', r"map\.csv:2: a quote .* is never closed"),
    ],
)
def test_a_label_map_that_is_none_is_one_line(write, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_label_map(write(name, content))
    assert "\n" not in str(caught.value)


def test_tags_are_renamed_by_their_type_and_intents_by_their_name(write) -> None:
    row = {"tokens": ["a", "b", "c"], "tags": ["B-PER", "I-PER", "O"], "intent": "go"}
    path = write("a.jsonl", json.dumps(row) + "\n")
    file = open_examples(path, Task.INTENT_SLOTS)
    names = {"PER": "person", "go": "start", "O": "O"}
    (example,) = with_label_map(file, names)
    assert isinstance(example, TokenExample)
    assert example.tags == ("B-person", "I-person", "O")
    assert example.intent == "start"


def counted(*names: str) -> dict[str, int]:
    return dict.fromkeys(names, 50)


@pytest.mark.parametrize(
    ("labels", "pairs"),
    [
        (counted("Frage", "Fragee"), [("Frage", "Fragee")]),
        (counted("Lob", "lob"), [("Lob", "lob")]),
        (counted("zu spät", "zu  spät"), [("zu spät", "zu  spät")]),
        (counted("Café", "Cafe\u0301"), [("Café", "Cafe\u0301")]),
        (counted("Ａ１", "A1"), [("Ａ１", "A1")]),
        ({"Kritik": 500, "Kritig": 2}, [("Kritik", "Kritig")]),
        (counted("B-person", "I-person", "B-Person"), [("person", "Person")]),
        (counted("label 001", "label 002", "label 01"), []),
        (counted("male", "female", "on", "off", "B1", "B2", "a", "b"), []),
        (counted("play_music", "stop_music"), []),
    ],
)
def test_nearly_equal_labels_are_paired(
    labels: dict[str, int], pairs: list[tuple[str, str]]
) -> None:
    assert near_equal(labels) == pairs


def test_a_thousand_labels_are_compared_at_once() -> None:
    names = [f"{a}{b} {c} label" for a in "abcdefghij" for b in "klmnopqrst" for c in "uvwxyzabcd"]
    assert near_equal(counted(*names)) == []


def test_labels_of_real_files_are_not_taken_for_nearly_equal(shared_data: Path) -> None:
    file = open_examples(shared_data / "banking77" / "train.csv.gz", Task.TEXT_CLASSIFICATION)
    assert near_equal(survey(file).counts) == []


def test_columns_without_labels_are_left_alone(write) -> None:
    path = write("a.jsonl", '{"text": "a"}\n')
    file = open_examples(path, Task.TEXT_CLASSIFICATION, Columns(), labelled=False)
    assert check_known(file, MODEL, PLAIN) is file
