"""Files made to fill the memory, or to have no end: refused in bounded memory, in one line."""

import csv
import itertools
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bertedge.cli import main
from bertedge.data import Columns, conll, json_rows, lines, open_examples, separators, tabular
from bertedge.errors import BertedgeError, DataError
from bertedge.spec import Task

TEXTS, WORDS = Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION


def test_a_row_of_many_quoted_lines_is_bounded(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "LONGEST_LINE", 1000)
    good = 'text,label\n"' + "a\n" * 400 + '",x\n' + '"b\n",y\n' * 300
    assert len(list(open_examples(write("a.csv", good), TEXTS))) == 301
    rest = "".join(f'"{"c" * 50}\n",' for _ in range(50))
    with pytest.raises(DataError, match=r"a\.csv:4: the row has more than .* never closed"):
        list(open_examples(write("a.csv", f"text,label\na,x\nb,y\n{rest}"), TEXTS))


@pytest.mark.parametrize(("words", "fine"), [(99, True), (100, True), (101, False)])
def test_a_sentence_has_an_end(write, monkeypatch, words: int, fine: bool) -> None:
    monkeypatch.setattr(conll, "MOST_WORDS", 100)
    path = write("a.conll", "a O\n\n" + "b B-X\n" * words)
    if fine:
        assert len(list(open_examples(path, WORDS))) == 2
        return
    with pytest.raises(DataError, match="3: the sentence has more than 100 words; leave an empty"):
        open_examples(path, WORDS)


def test_the_head_that_is_looked_at_is_bounded(write, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lines, separators):
        monkeypatch.setattr(module, "LONGEST_HEAD", 100)
    long = "w " * 100
    path = write("a.csv", "text;label\n" + f"{long};x\n{long};y\n" * 3)
    assert [e.label for e in open_examples(path, TEXTS)] == ["x", "y"] * 3


@pytest.mark.parametrize("depth", [101, 900, 990, 1000, 5000])
@pytest.mark.parametrize("task", [TEXTS, WORDS, Task.INTENT_SLOTS, Task.QUESTION_ANSWERING])
def test_deep_json_is_refused_whatever_it_stands_for(write, task: Task, depth: int) -> None:
    lists, objects = "[" * depth + "1" + "]" * depth, '{"a": ' * depth + "1" + "}" * depth
    row = {"text": "a", "label": "x", "tokens": ["a"], "tags": ["O"], "intent": "i"}
    row |= {"question": "q", "context": "a", "answers": []}
    keys = ("text", "label", "other", "tokens", "answers")
    for key, deep in itertools.product(keys, (lists, objects)):
        text = json.dumps(row)[:-1] + f', "{key}": {deep}}}'
        with pytest.raises(BertedgeError, match=r"nested too deep|cannot be read as JSON"):
            list(open_examples(write("a.jsonl", f"{text}\n"), task))


def test_depth_is_counted() -> None:
    assert json_rows._depth(1) == 1
    assert json_rows._depth([1, {"a": [2]}]) == 4


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line in 2 GiB of memory, `stdin` from a shell command."""
    command = [sys.executable, "-m", "bertedge", *map(str, arguments)]
    source = subprocess.Popen(stdin or "true", shell=True, stdout=subprocess.PIPE)
    assert source.stdout is not None
    limit = 6 * 2**30  # of addresses: onnxruntime and numpy reserve many that they never touch

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        stdin=source.stdout,
        capture_output=True,
        text=True,
        preexec_fn=bound,
        env=environment,
        timeout=300,
    )
    source.stdout.close()
    source.wait()
    return done


TINY = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"


@pytest.mark.parametrize(
    ("source", "stdin", "message"),
    [
        ("-", "cat /dev/zero", "standard input:1: the line has more than 16 MiB"),
        ("/dev/stdin", "yes a | tr -d '\\n'", "standard input:1: the line has more than 16 MiB"),
        ("-", "cat /dev/urandom", "is not UTF-8"),
    ],
)
def test_standard_input_without_an_end_is_refused(source: str, stdin: str, message: str) -> None:
    done = run("predict", TINY, "--input", source, stdin=stdin)
    assert done.returncode == 1 and message in done.stderr
    assert len(done.stderr.splitlines()) == 1 and len(done.stderr) <= 301


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom", "/dev/null", "PIPE", "FOLDER"])
@pytest.mark.parametrize(
    "verb",
    [
        ("evaluate", TINY, "--data"),
        ("predict", TINY, "--input"),
        ("finetune", "--config"),
        ("pretrain", "--config"),
    ],
)
def test_devices_pipes_and_folders_are_no_files(verb, device: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    place = {"PIPE": tmp_path / "pipe", "FOLDER": tmp_path}.get(device, device)
    done = CliRunner().invoke(main, [*map(str, verb), str(place)])
    if verb[0] == "predict" and device == "FOLDER":  # of tables, which want an output
        assert done.exit_code == 2 and "a table needs --output DIR" in done.stderr
        return
    assert done.exit_code == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1 and len(done.stderr) <= 301


def test_a_field_of_a_megabyte_does_not_fill_the_message(write) -> None:
    csv.field_size_limit(131_072)
    long = "x" * 1_000_000
    for name, content in (
        ("a.csv", f"{long}\n"),
        ("a.csv", f"text,{long}\na,b\n"),
        ("a.tsv", f"text\tlabel\n{long}\n"),
        ("a.jsonl", json.dumps({"text": "a", long: "b"})),
        ("a.jsonl", json.dumps({"text": "a", "label": [long]})),
        ("a.conll", f"a O\n{long} {long} {long}\n"),
        ("a.conll", f"a O\nb {long}\n"),
    ):
        task = WORDS if name == "a.conll" else TEXTS
        with pytest.raises(BertedgeError) as caught:
            list(open_examples(write(name, content), task))
        assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)
    said = open_examples(
        write("a.csv", f"text,{long}\na,b\n"), TEXTS, Columns(label=long)
    ).description
    assert len(said) <= 300
