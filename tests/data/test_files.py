import hashlib
import pickle
import tracemalloc
from pathlib import Path

import pytest

from bertedge.data import Columns, open_examples
from bertedge.errors import BertedgeError, DataError, SettingError
from bertedge.spec import Task

TEXTS, TOKENS = Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION

SAMPLES = [
    ("a.csv", "text,label\na,x\nb,y\n", TEXTS, Columns()),
    ("a.csv", "a,b,x\na,c,y\n", TEXTS, Columns(text="0", pair="1", label="2")),
    ("a.tsv", "s1\ts2\tlabel\na\tb\tx\n", TEXTS, Columns()),
    ("a.jsonl", '{"text": "a", "label": 3}\n', TEXTS, Columns()),
    ("a.jsonl", '{"tokens": ["a"], "tags": ["O"]}\n', TOKENS, Columns()),
    ("a.bio", "O\ta\nB-X  b\n", TOKENS, Columns()),
    ("a.txt", "a NN O\nb NN B-X\n", TOKENS, Columns()),
]


@pytest.mark.parametrize(("name", "content", "task", "columns"), SAMPLES)
def test_settled_columns_read_the_same_again(
    write, name: str, content: str, task: Task, columns: Columns
) -> None:
    path = write(name, content)
    file = open_examples(path, task, columns)
    again = open_examples(path, task, file.columns)
    assert again == file
    assert list(again) == list(file) == list(file)
    assert pickle.loads(pickle.dumps(file)) == file


@pytest.mark.parametrize(
    ("name", "task", "kind"),
    [
        ("a.txt", TEXTS, "tsv"),
        ("a.dat", TEXTS, None),
        ("a", TEXTS, None),
        ("a.zip", TEXTS, None),
        ("a.csv.bz2", TEXTS, None),
        ("a.conll", TEXTS, None),
        ("a.tsv", TOKENS, "conll"),
        ("a.csv", TOKENS, None),
    ],
)
def test_the_extension_names_the_format(write, name: str, task: Task, kind: str | None) -> None:
    path = write(name, "text\tlabel\na\tx\n" if task is TEXTS else "a\tO\n")
    if kind is None:
        with pytest.raises(SettingError, match=r"--format"):
            open_examples(path, task)
    else:
        assert open_examples(path, task).columns.format == kind


def test_the_format_can_be_said(write) -> None:
    path = write("a.dat", '{"text": "a", "label": "x"}\n')
    assert open_examples(path, TEXTS, Columns(format="jsonl")).columns.format == "jsonl"
    with pytest.raises(SettingError, match="--format 'xml' is unknown; choose one of csv, tsv"):
        open_examples(path, TEXTS, Columns(format="xml"))


@pytest.mark.parametrize("separator", ["", "\n", "||", '"'])
def test_a_separator_that_cannot_be_is_refused(write, separator: str) -> None:
    path = write("a.csv", "text,label\na,x\n")
    with pytest.raises(SettingError, match=r"--separator .* cannot separate"):
        open_examples(path, TEXTS, Columns(separator=separator))


def test_a_file_is_known_by_the_hash_of_its_bytes(write) -> None:
    path = write("a.csv.gz", "text,label\na,x\n")
    file = open_examples(path, TEXTS)
    assert file.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    for use in (file.sha256, lambda: list(file)):
        with pytest.raises(DataError, match=r"cannot be read: No such file|does not exist"):
            use()


def test_pairs_of_words_are_refused(write) -> None:
    with pytest.raises(SettingError, match="token-classification reads single texts"):
        open_examples(write("a.conll", "a O\n"), TOKENS, pair=True)


def test_opening_looks_at_the_head_only(write) -> None:
    path = write("a.tsv", "text\tlabel\na\tx\n" + "b\ty\n" * 50_000 + "bad\n")
    file = open_examples(path, TEXTS)
    with pytest.raises(DataError, match=":50003:"):
        list(file)


@pytest.mark.parametrize(
    ("name", "content", "task"),
    [
        ("a.csv.gz", "text,label\n" + "some text,x\n" * 8_000, TEXTS),
        ("a.jsonl", '{"text": "some text", "label": "x"}\n' * 8_000, TEXTS),
        ("a.conll", "some O\ntext B-X\n\n" * 8_000, TOKENS),
    ],
)
def test_examples_are_streamed(write, name: str, content: str, task: Task) -> None:
    path = write(name, content)
    tracemalloc.start()
    try:
        assert sum(1 for _ in open_examples(path, task)) == 8_000
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


# To a model that fills masks every line is a text.
@pytest.mark.parametrize("task", [Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.conll", "a.txt", "a.bin"])
def test_rubbish_is_always_one_clear_line(write, name: str, task: Task) -> None:
    contents = (b"\0" * 100, bytes(range(256)), b"\xff\xfe\0\0", b'"', b"\n" * 9, b"\t\t\n,")
    for content in (*contents, b"\x1f\x8b\x08"):
        path: Path = write(name, content)
        with pytest.raises(BertedgeError) as caught:
            list(open_examples(path, task))
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
