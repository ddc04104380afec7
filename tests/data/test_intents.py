"""Texts with an intent and tags: JSON lines, and folders of parallel files."""

import gzip
import json
from pathlib import Path

import pytest

from bertedge.data import Columns, ExampleFile, TokenExample, hash_examples, open_examples
from bertedge.errors import DataError, SettingError
from bertedge.spec import Task

ROWS = [
    {"text": "hall on", "intent": "on", "tokens": ["hall", "on"], "tags": ["B-room", "O"]},
    {"text": "all off", "intent": "off", "tokens": ["all", "off"], "tags": ["O", "O"]},
]
FILES = {
    "seq.in": "hall on\nturn the living room off \n",
    "seq.out": "B-room O\nO O B-room I-room O\n",
    "label": "on\noff\n",
}


def lines(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def folder(path: Path, **changes: str) -> Path:
    path.mkdir()
    for name, text in (
        FILES | {name.replace("_", "."): text for name, text in changes.items()}
    ).items():
        (path / name).write_text(text)
    return path


def opened(path: Path, **columns: str) -> ExampleFile:
    return open_examples(path, Task.INTENT_SLOTS, Columns(**columns))


def read(path: Path, **columns: str) -> list[TokenExample]:
    return [each for each in opened(path, **columns) if isinstance(each, TokenExample)]


def test_json_lines_give_words_tags_and_intent_by_known_names(tmp_path: Path) -> None:
    file = opened(lines(tmp_path / "d.jsonl", *ROWS))
    assert (
        file.description
        == "words from key 'tokens', tags from key 'tags', intent from key 'intent'"
    )
    first, second = file
    assert first == TokenExample(tokens=("hall", "on"), tags=("B-room", "O"), line=1, intent="on")
    assert first.names == ("intent:on", "B-room", "O")
    assert second.line == 2


def test_keys_can_be_chosen(tmp_path: Path) -> None:
    row = {"w": ["hall"], "t": ["B-room"], "said": "on", "label": "no", "intent": "no"}
    (only,) = read(lines(tmp_path / "d.jsonl", row), text="w", label="t", intent="said")
    assert (only.tokens, only.tags, only.intent) == (("hall",), ("B-room",), "on")


def test_a_text_without_tokens_is_split_at_its_spaces(tmp_path: Path) -> None:
    row = {"text": "hall  on", "slots": ["B-room", "O"], "label": "on"}
    (only,) = read(lines(tmp_path / "d.jsonl", row))
    assert (only.tokens, only.intent) == (("hall", "on"), "on")


def test_tags_of_any_scheme_are_read(tmp_path: Path) -> None:
    row = {"tokens": ["the", "living", "room"], "tags": ["O", "B-x", "E-x"], "intent": "on"}
    (only,) = read(lines(tmp_path / "d.jsonl", row))
    assert only.tags == ("O", "B-x", "I-x")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a"], "tags": ["O"]}, "d.jsonl:1: no key has a known name for the intent"),
        ({"tokens": ["a"], "tags": ["O"], "intent": None}, "d.jsonl:1: the label 'intent' is null"),
        ({"tokens": ["a"], "tags": ["O"], "intent": ""}, "d.jsonl:1: the label is empty"),
        ({"tokens": ["a"], "tags": ["O"], "intent": ["x"]}, "d.jsonl:1: the label 'intent' is a"),
        ({"tokens": ["a"], "tags": ["O", "O"], "intent": "x"}, "d.jsonl:1: 1 words in 'tokens', b"),
        ({"tokens": ["a"], "tags": ["room"], "intent": "x"}, "d.jsonl:1: the tag 'room' has no"),
        (
            {"tokens": ["a"], "tags": ["intent:x"], "intent": "x"},
            "the tag 'intent:x' has no prefix",
        ),
        ({"tokens": [" "], "tags": ["O"], "intent": "x"}, "d.jsonl:1: the list of words is empty"),
        ({"text": " ", "tags": ["O"], "intent": "x"}, "d.jsonl:1: the list of words is empty"),
    ],
)
def test_a_row_that_does_not_fit_is_an_error_with_its_line(
    tmp_path: Path, row: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError) as error:
        opened(lines(tmp_path / "d.jsonl", row))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_folder_gives_words_tags_and_intents(tmp_path: Path) -> None:
    file = opened(folder(tmp_path / "d"))
    assert file.description == "words from seq.in, tags from seq.out, intents from label"
    first, second = file
    assert first == TokenExample(tokens=("hall", "on"), tags=("B-room", "O"), line=1, intent="on")
    assert isinstance(second, TokenExample) and len(second.tokens) == 5


def test_a_folder_may_be_gzipped_in_part_and_its_hash_is_of_all_files(tmp_path: Path) -> None:
    plain = folder(tmp_path / "d")
    before, examples = hash_examples(plain), read(plain)
    with gzip.open(plain / "seq.in.gz", "wt") as file:
        file.write(FILES["seq.in"])
    (plain / "seq.in").unlink()
    assert read(plain) == examples
    packed = hash_examples(plain)
    (plain / "label").write_text("off\non\n")
    assert len({before, packed, hash_examples(plain)}) == 3


def test_what_was_resolved_reads_the_same_again(tmp_path: Path) -> None:
    for path in (folder(tmp_path / "d"), lines(tmp_path / "d.jsonl", *ROWS)):
        file = opened(path)
        assert list(open_examples(path, Task.INTENT_SLOTS, file.columns)) == list(file)


@pytest.mark.parametrize("labelled", ["folder", "lines"])
def test_unlabelled_words_need_no_tags_and_no_intents(tmp_path: Path, labelled: str) -> None:
    path = tmp_path / "d"
    if labelled == "folder":
        folder(path)
        (path / "seq.out").unlink()
        (path / "label").unlink()
    else:
        path = lines(tmp_path / "d.jsonl", {"tokens": ["hall", "on"]})
    first = next(iter(open_examples(path, Task.INTENT_SLOTS, labelled=False)))
    assert first == TokenExample(tokens=("hall", "on"), tags=None, line=1)


def test_a_no_break_space_is_part_of_a_word(tmp_path: Path) -> None:
    only = read(folder(tmp_path / "d", seq_in="a\u00a0b\n", seq_out="O\n", label="x\n"))[0]
    assert only.tokens == ("a\u00a0b",)


def test_blank_lines_at_the_end_are_nothing(tmp_path: Path) -> None:
    changes = {name.replace(".", "_"): text + "\n \n" for name, text in FILES.items()}
    assert len(read(folder(tmp_path / "d", **changes))) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "on\n"}, "d/seq.in:2: label has no line 2; the files must have a line for each"),
        ({"seq_in": "hall on\n"}, "d/seq.out:2: seq.in has no line 2"),
        ({"seq_out": "B-room\nO O B-room I-room O\n"}, "d/seq.out:1: 1 tags, but seq.in has 2 wo"),
        ({"seq_out": "B-room O\nO O B-room room O\n"}, "d/seq.out:2: the tag 'room' has no prefix"),
        ({"seq_out": "B-room O\n\n"}, "d/seq.out:2: 0 tags, but seq.in has 5 words"),
        ({"label": "on\n\n"}, "d/label:2: the label is empty"),
        ({"seq_in": "hall on\n\n"}, "d/seq.in:2: the text is empty"),
        ({"seq_in": ""}, "d/seq.in is empty"),
    ],
)
def test_files_that_do_not_fit_are_an_error_with_file_and_line(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError) as error:
        read(folder(tmp_path / "d", **changes))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_folder_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    (folder(tmp_path / "d") / "seq.out").unlink()
    with pytest.raises(DataError, match=r"d has no seq\.out \(nor seq\.out\.gz\); a folder of"):
        opened(tmp_path / "d")


def test_a_folder_is_for_intents_and_slots_alone(tmp_path: Path) -> None:
    folder(tmp_path / "d")
    with pytest.raises(DataError, match="is a directory; give one labelled file"):
        open_examples(tmp_path / "d", Task.TOKEN_CLASSIFICATION)
    with pytest.raises(SettingError, match="three parallel files, which have no columns"):
        opened(tmp_path / "d", text="seq.in")


def test_formats_that_hold_no_intents_beside_tags_are_refused(tmp_path: Path) -> None:
    for name in ("d.csv", "d.tsv", "d.txt", "d.conll"):
        (tmp_path / name).write_text("a\tO\n")
        with pytest.raises(SettingError, match="are read from JSON lines, or from a folder"):
            opened(tmp_path / name)


def test_an_intent_column_is_for_this_task_alone(tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", *ROWS)
    for task in (Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION):
        with pytest.raises(SettingError, match="--intent-column is for intent-slots"):
            open_examples(path, task, Columns(intent="intent"))
