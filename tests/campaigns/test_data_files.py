"""Labelled files, mutated with a fixed seed: one clear line or an example, never anything else.

By default a sample; `BERTEDGE_CAMPAIGN=full` reads 5,000 files in this process and 300 by the
command line.
"""

import gzip
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bertedge.data import BadRows, Columns, open_examples
from bertedge.errors import BertedgeError
from bertedge.spec import ProblemType, Task

FULL = os.environ.get("BERTEDGE_CAMPAIGN") == "full"
FILES = 5000 if FULL else 1500
PROCESSES = 300 if FULL else 4
"""Starting Python with onnxruntime takes longer than all reading."""
LONGEST = 300
SLOWEST_S = 10
MOST_MIB = 512
"""That reading a mutated file may add to this process."""
TINY = Path(__file__).resolve().parents[2] / "models" / "tiny"
MEMORY = Path(__file__).with_name("memory.py")

TEXTS, WORDS, JOINT, ASKED = (
    Task.TEXT_CLASSIFICATION,
    Task.TOKEN_CLASSIFICATION,
    Task.INTENT_SLOTS,
    Task.QUESTION_ANSWERING,
)
PLAIN, ONE = Task.FILL_MASK, ProblemType.SINGLE_LABEL
SEVERAL, VALUE = ProblemType.MULTI_LABEL, ProblemType.REGRESSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A sound file that mutations begin with."""

    name: str
    task: Task
    text: str
    problem_type: ProblemType = ONE


def rows(*values: object) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


CONTEXT = "Anna lives in Berlin. 安娜住在柏林。"
QA = {"id": 1, "question": "Where?", "answers": [{"text": "Berlin", "answer_start": 14}]}
SQUAD = {"data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": [QA, QA]}]}]}
SPANS = {"text": "Ada met 伦敦 U.S.", "label": [[0, 3, "PER"], [8, 10, "LOC"]]}
TASK = {
    "data": {"text": "Ada met Bob"},
    "annotations": [{"result": [{"value": {"start": 0, "end": 3, "labels": ["PER"]}}]}],
}
PRODIGY = {"text": "Ada met", "spans": [{"start": 0, "end": 3, "label": "P"}], "answer": "accept"}
CLUENER = {"text": "浙商银行 said", "label": {"company": {"浙商银行": [[0, 3]]}}}
CONLL = "-DOCSTART- -X- O O\n\nAda NNP I-NP I-PER\nsings VB I-VP O\n\nBonn NNP I-NP I-LOC\n"
SEEDS = (
    Seed(
        name="a.csv", task=TEXTS, text='text,label\n"lights, on",lights\n"a ""b""\nc",music\n' * 3
    ),
    Seed(name="b.csv", task=TEXTS, text="text;label\nplay it;music\nwarm here;heating\n"),
    Seed(name="c.csv", task=TEXTS, text="s1,s2,score\na b,a c,3.5\nd,e,0\n", problem_type=VALUE),
    Seed(name="d.csv", task=TEXTS, text='text,labels\na b,"x,y"\nc,\n', problem_type=SEVERAL),
    Seed(name="a.tsv", task=TEXTS, text='sentence\tlabel\nit\'s "good"\t1\nbad\t0\n'),
    Seed(name="a.txt", task=TEXTS, text="1 a good film\n0 a bad film\n1 good\n0 poor film\n"),
    Seed(name="b.txt", task=TEXTS, text="__label__x a b\n__label__y c d\n"),
    Seed(
        name="a.jsonl", task=TEXTS, text=rows(*[{"text": "Gr\u00fc\u00dfe 🙂", "label": "x"}] * 3)
    ),
    Seed(name="b.jsonl", task=TEXTS, text='{"text": "\\ud83d\\ude00", "label": 1}\n' * 2),
    Seed(name="a.json", task=TEXTS, text=json.dumps([{"text": "a", "label": "x"}] * 3, indent=1)),
    Seed(name="a.conll", task=WORDS, text=CONLL),
    Seed(name="a.bmes", task=WORDS, text="中 B-LOC\n国 E-LOC\n人 O\n\n王 S-PER\n"),
    Seed(name="a.bio", task=WORDS, text="B-PER\tAda\nO\tsings\n\nO\tand\n"),
    Seed(
        name="c.jsonl", task=WORDS, text=rows(*[{"tokens": ["a", "b"], "tags": ["B-X", "O"]}] * 2)
    ),
    Seed(name="d.jsonl", task=WORDS, text=rows(SPANS, SPANS)),
    Seed(name="b.json", task=WORDS, text=json.dumps([TASK, TASK], indent=2)),
    Seed(name="e.jsonl", task=WORDS, text=rows(PRODIGY, PRODIGY)),
    Seed(name="c.json", task=WORDS, text=rows(CLUENER, CLUENER)),
    Seed(
        name="f.jsonl", task=JOINT, text=rows({"text": "a b", "tags": ["O", "B-X"], "intent": "i"})
    ),
    Seed(name="d.json", task=ASKED, text=json.dumps(SQUAD, ensure_ascii=False)),
    Seed(name="e.json", task=ASKED, text=json.dumps([QA | {"context": CONTEXT}], indent=1)),
    Seed(name="g.jsonl", task=ASKED, text=rows({"question": "Who?", "context": CONTEXT} | QA)),
    Seed(name="c.txt", task=PLAIN, text="one text\n\nanother 文本\n"),
)

TOKENS = (
    *(
        b'"',
        b"'",
        b",",
        b"\t",
        b";",
        b"|",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\0",
        b"\\",
        b":",
    ),
    *(b"[", b"]", b"{", b"}", b"{}", b"[]", b"null", b"true", b"NaN", b"Infinity", b"-1", b"1e999"),
    *(b"9" * 25, b"9" * 4299, b"9" * 5000, b"-" + b"9" * 4300, b"0.5", b'"x"', b'""', b"O", b"B-X"),
    *(b"\\ud800", b"\\udc00", b"\\u0000", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x99\x82"),
    *(b"\xe2\x80\xa8", b"\xc2\xa0", b"\xe3\x80\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"),
    *(
        b"\xff\xfe\0\0",
        b"\x1f\x8b",
        b"PK\x03\x04",
        b"\x1b[31m",
        b"\x7f",
        b"sep=;\n",
        b"nan",
        b"-DOCSTART-",
    ),
    *(
        b"text",
        b"label",
        b"tokens",
        b"answers",
        b"answer_start",
        b"data",
        b"qas",
        b"spans",
        b"start",
    ),
    *(b"__label__", b"[" * 200, b'{"a":' * 300, b"(" * 50, b"x" * 5000, b"\xe4\xb8\xad" * 2000),
    *(b"\n" * 500, b"," * 500, b'"' * 501, b"\t" * 100, b'"\n' * 300),
)

Mutation = Callable[[random.Random, bytes], bytes]


def flip(rng: random.Random, raw: bytes) -> bytes:
    data = bytearray(raw)
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def insert(rng: random.Random, raw: bytes) -> bytes:
    place = rng.randrange(len(raw) + 1)
    return raw[:place] + rng.choice(TOKENS) + raw[place:]


def replace(rng: random.Random, raw: bytes) -> bytes:
    begin = rng.randrange(len(raw))
    return raw[:begin] + rng.choice(TOKENS) + raw[begin + rng.randint(1, 12) :]


def cut(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randrange(len(raw))] if rng.random() < 0.5 else raw[rng.randrange(len(raw)) :]


def repeat(rng: random.Random, raw: bytes) -> bytes:
    begin = rng.randrange(len(raw))
    part = raw[begin : begin + rng.randint(1, 60)]
    return raw[:begin] + part * rng.choice((2, 10, 1000)) + raw[begin:]


def shuffle_lines(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.splitlines(keepends=True)
    rng.shuffle(lines)
    return b"".join(lines[: rng.randint(1, len(lines))])


def values_of(rng: random.Random, raw: bytes) -> bytes:
    """Put another value at a place of a JSON line or document; elsewhere, a token."""
    lines = raw.splitlines() if raw.startswith(b"{") and raw.count(b"\n") > 1 else [raw]
    number = rng.randrange(len(lines))
    try:
        document = json.loads(lines[number])
    except (ValueError, RecursionError):
        return insert(rng, raw)
    odd = (
        None,
        True,
        -1,
        2**64,
        0.5,
        "",
        " ",
        "x",
        [],
        {},
        [[]],
        [None],
        {"a": []},
        ["x"] * 99,
        "\0",
    )
    spot, key = [document], 0
    for _ in range(rng.randint(1, 7)):
        inner = spot[key]
        if isinstance(inner, dict) and inner:
            spot, key = inner, rng.choice(list(inner))
        elif isinstance(inner, list) and inner:
            spot, key = inner, rng.randrange(len(inner))
    if rng.random() < 0.2 and isinstance(spot, dict):
        spot[rng.choice(("text", "label", "data", "qas", "spans", "x"))] = spot.pop(key)
    else:
        spot[key] = rng.choice(odd)
    try:
        text = json.dumps(document, ensure_ascii=rng.random() < 0.5)
    except (ValueError, RecursionError):
        return insert(rng, raw)
    lines[number] = text.encode("utf-8", "replace")
    return b"\n".join(lines)


def encode(rng: random.Random, raw: bytes) -> bytes:
    name = rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp1252", "gb18030"))
    return raw.decode("utf-8", "replace").encode(name, "replace")


def pack(rng: random.Random, raw: bytes) -> bytes:
    packed = gzip.compress(raw)
    return rng.choice((flip, cut, lambda _, same: same))(rng, packed)


MUTATIONS: tuple[Mutation, ...] = (
    *(flip, insert, insert, replace, replace, cut, repeat, shuffle_lines),
    *(values_of, values_of, values_of, encode, pack),
)


def mutated(number: int) -> tuple[Seed, bytes, Columns]:
    """Give the seed, the content and the columns of a case; the same number gives the same."""
    rng = random.Random(f"data files {number}")
    seed = rng.choice(SEEDS)
    raw = seed.text.encode()
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        raw = rng.choice(MUTATIONS)(rng, raw) or b"\n"
    columns = Columns(
        bad_rows=rng.choice(list(BadRows)), encoding=rng.choice((None, None, None, "cp1252"))
    )
    return seed, raw, columns


def told_in_one_line(message: str) -> bool:
    return all(len(line) <= LONGEST for line in message.split("\n")) and message.count("\n") <= 21


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


@pytest.mark.slow
def test_no_mutated_file_raises_anything_but_our_errors(tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    before, slowest = peak_mib(), 0.0
    for number in range(FILES):
        seed, raw, columns = mutated(number)
        path = tmp_path / seed.name
        path.write_bytes(raw)
        began = time.process_time()
        try:
            file = open_examples(path, seed.task, columns, problem_type=seed.problem_type)
            count = sum(1 for _ in file)
            assert told_in_one_line(file.description), (
                f"case {number}: {len(file.description)} characters"
            )
            outcomes["read" if count else "empty"] += 1
        except BertedgeError as error:
            outcomes[type(error).__name__] += 1
            assert told_in_one_line(str(error)), f"case {number}: {str(error)[:400]}"
        except Exception as error:
            raise AssertionError(f"case {number}: {seed.name} {type(error).__name__}") from error
        slowest = max(slowest, time.process_time() - began)
        path.unlink()
        assert not list(tmp_path.iterdir()), f"case {number} leaves something behind"
    print(f"{outcomes}, slowest {slowest:.2f} s, {peak_mib() - before} MiB more at the peak")
    assert outcomes["read"] > FILES / 5 and outcomes["DataError"] > FILES / 5
    assert slowest < SLOWEST_S and peak_mib() - before < MOST_MIB


VERBS: tuple[tuple[Task, tuple[str, ...]], ...] = (
    (TEXTS, ("evaluate", str(TINY / "text-classification"), "--data")),
    (TEXTS, ("predict", str(TINY / "text-classification"), "--input")),
    (WORDS, ("evaluate", str(TINY / "token-classification"), "--data")),
    (WORDS, ("predict", str(TINY / "token-classification"), "--input")),
    (JOINT, ("evaluate", str(TINY / "intent-slots"), "--data")),
    *(
        (task, ("finetune", "--task", str(task), "--model", "./none", "--output", "out", "--train"))
        for task in (TEXTS, WORDS, JOINT, ASKED)
    ),
)
"""No base model is there: `finetune` ends when it has read its files."""


@pytest.mark.slow
def test_the_command_line_ends_with_one_line_whatever_the_file(tmp_path: Path) -> None:
    most, peak = 0.0, 0
    for number in range(PROCESSES):
        rng = random.Random(f"command line {number}")
        task, verb = rng.choice(VERBS)
        case = 10_000 + 100 * number
        while mutated(case)[0].task is not task:
            case += 1
        seed, raw, _ = mutated(case)
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / seed.name
        path.write_bytes(raw)
        flags = ["--bad-rows", "skip"] if verb[0] != "predict" and rng.random() < 0.5 else []
        held = tmp_path / f"{number}.memory"
        command = [sys.executable, str(MEMORY), str(held), *verb, str(path), *flags]
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, cwd=folder, check=False, timeout=300)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        most = max(most, after.ru_utime - began.ru_utime + after.ru_stime - began.ru_stime)
        shown = done.stderr.decode()
        assert done.returncode in (0, 1, 2, 3), f"case {number}: {shown}"
        assert "Traceback" not in shown, f"case {number}: {shown}"
        assert told_in_one_line(shown.rstrip("\n")), f"case {number}: {shown}"
        left = sorted(each.name for each in folder.iterdir())
        assert left == [seed.name], f"case {number} leaves {left} behind"
        peak = max(peak, int(held.read_text()) >> 20)
    print(f"{PROCESSES} command lines, most time {most:.1f} s of processors, peak {peak} MiB")
    assert peak < 2048
