"""`--bad-rows skip` leaves bad rows out of every format and says so in one line."""

from pathlib import Path

import pytest

from bertedge.data import BadRows, Columns, open_examples
from bertedge.errors import DataError
from bertedge.spec import ProblemType, Task

TEXTS, WORDS, JOINT = (
    Task.TEXT_CLASSIFICATION,
    Task.TOKEN_CLASSIFICATION,
    Task.INTENT_SLOTS,
)
SKIP = Columns(bad_rows=BadRows.SKIP)
GOOD = '{"text": "a", "label": "x"}\n'
SPANS = '{"text": "a b", "label": [[0, 1, "X"]]}\n'
FILES = [
    ("a.csv", TEXTS, "text,label\na,x\n,x\nb,\nc\nd,y\n", 3),
    ("a.tsv", TEXTS, b"text\tlabel\na\tx\n\xff\tx\nb\0\tx\nc\tx\tz\nd\ty\n", 3),
    ("a.jsonl", TEXTS, GOOD + '{"text": 3}\nnull\n{"text"\n\xff' + GOOD + GOOD, 4),
    ("a.json", TEXTS, f'[{GOOD},\n3,\n{{"text": "", "label": "x"}},\n{GOOD}]', 2),
    ("a.conll", WORDS, "a O\nb B-X\n\nc PER\n\nd O e\n\nf O\n", 2),
    ("a.jsonl", WORDS, '{"tokens": ["a"], "tags": ["O"]}\n' * 2 + '{"tokens": ["a"]}\n', 1),
    ("a.jsonl", WORDS, SPANS * 2 + '{"text": "a", "label": [[5, 9, "X"]]}\n', 1),
    ("a.jsonl", JOINT, '{"text": "a", "tags": ["O"], "intent": "i"}\n' * 2 + '{"text": ""}\n', 1),
]


@pytest.mark.parametrize(("name", "task", "content", "bad"), FILES)
def test_bad_rows_are_left_out_and_counted(
    write, name: str, task: Task, content: str | bytes, bad: int
) -> None:
    path = write(name, content if isinstance(content, bytes) else content.encode("latin-1"))
    with pytest.raises(DataError):
        list(open_examples(path, task))
    file = open_examples(path, task, SKIP)
    assert len(list(file)) == 2
    rows = "row" if bad == 1 else "rows"
    assert f"; {bad} bad {rows} left out, the first: {path}:" in file.description
    assert "\n" not in file.description
    again = open_examples(path, task, file.columns)
    assert list(again) == list(file) and again.columns == file.columns


def test_values_that_are_no_numbers_are_bad_rows(write) -> None:
    path = write("a.csv", "text,label\na,1\nb,good\n")
    file = open_examples(path, TEXTS, SKIP, problem_type=ProblemType.REGRESSION)
    assert len(list(file)) == 1 and "1 bad row left out" in file.description


def test_lines_of_parallel_files_that_do_not_fit_are_bad_rows(tmp_path: Path) -> None:
    for name, text in (("seq.in", "a b\nc\n\n"), ("seq.out", "O\nB-X\n\n"), ("label", "i\nj\n\n")):
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="1 tags, but"):
        open_examples(tmp_path, JOINT)
    file = open_examples(tmp_path, JOINT, SKIP)
    assert len(list(file)) == 1 and "1 bad row left out" in file.description


def test_lines_of_plain_text_that_are_no_text_are_bad_rows(write) -> None:
    file = open_examples(write("a.txt", b"one\n\xff\ntwo\n"), Task.FILL_MASK, SKIP)
    assert len(list(file)) == 2 and "1 bad row left out" in file.description


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_a_file_of_bad_rows_alone_is_an_error(write, name: str) -> None:
    content = {"a.csv": "text,label\n,x\n", "a.tsv": "text\tlabel\n\tx\n"}.get(
        name, '{"text": "", "label": "x"}\n'
    )
    with pytest.raises(DataError, match="no row that can be used: 1 bad row left out, the first"):
        open_examples(write(name, content), TEXTS, SKIP)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b'text,label\na,x\n"b,x\nc,x\n'),
        ("a.txt.gz", b"a\tx\n"),
        ("a.tsv", "text\tlabel\na\tx\n".encode("utf-16") + b"\0"),
    ],
)
def test_what_is_wrong_with_the_whole_file_is_an_error_all_the_same(
    write, name: str, content: bytes
) -> None:
    path = write(name, content)
    if name.endswith(".gz"):
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError):
        open_examples(path, TEXTS, SKIP)
