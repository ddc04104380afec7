"""The data sets of shared/data that the programs of this folder train on, and how."""

import csv
import dataclasses
import gzip
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Set:
    """A data set of shared/data: its files, and what its columns mean.

    How it is trained on is for `finetune` to choose.
    """

    task: str
    train: str
    dev: str
    test: str
    trained: bool = True
    """False: the base is taken as it is, its embeddings need no training."""
    rows: int | None = None
    max_length: int | None = None
    base: str | None = None
    """A vocabulary of shared/data: random weights instead of MiniLM. PRETRAINED: the base that
    pretrain.py left in WORK."""
    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    problem_type: str = "single_label_classification"
    out_of_scope: str | None = None
    """The label of texts that no label fits."""
    splits: str | None = None
    """A JSON object of all splits, of which the three files are written."""
    every: int | None = None
    """Of the training rows, which are the dev file."""
    articles: int | None = None
    """Of the training file's last articles, which are the dev file (question answering)."""
    write: Callable[[Path, Path], dict[str, Path]] | None = None
    """Writes the splits where the files are not such as `finetune` reads."""


PRETRAINED = "pretrained"


def read_lines(path: Path) -> list[str]:
    """Read a text file, gzipped or not."""
    path = path if path.exists() else path.with_name(path.name + ".gz")
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig") as file:
        return [line.rstrip("\n") for line in file]


def write_subj(shared: Path, prefix: Path) -> dict[str, Path]:
    """Split the two files of sentences: 2,000 for the test, 1,000 for dev, the rest to train on."""
    rows = [
        f"{label}\t{line}"
        for label in ("objective", "subjective")
        for line in read_lines(shared / "subj" / f"{label}.txt")
        if line
    ]
    random.Random(0).shuffle(rows)
    parts = {"test": rows[:2000], "dev": rows[2000:3000], "train": rows[3000:]}
    return write_parts(parts, prefix, ".tsv", header="label\ttext")


def write_news(shared: Path, prefix: Path) -> dict[str, Path]:
    """Name the classes of the test file as the other two do; of its texts the descriptions."""
    names = [line for line in read_lines(shared / "ag_news" / "classes.txt") if line]
    parts = {
        split: [
            "\t".join(reversed(line.rsplit("\t", 1)))
            for line in read_lines(shared / "ag_news" / f"{split}.tsv")
            if line
        ]
        for split in ("train", "dev")
    }
    rows = csv.reader(read_lines(shared / "ag_news" / "test.csv"))
    parts["test"] = [f"{names[int(row[0]) - 1]}\t{row[2]}" for row in rows]
    return write_parts(parts, prefix, ".tsv", header="label\ttext")


def write_weibo(shared: Path, prefix: Path) -> dict[str, Path]:
    """Take from each character the digit that stands behind it: its place in its word."""

    def plain(line: str) -> str:
        character, _, tag = line.partition("\t")
        return f"{character[:-1]}\t{tag}" if tag else ""

    parts = {
        split: [plain(line) for line in read_lines(shared / "weibo_ner" / f"{split}.conll")]
        for split in ("train", "dev", "test")
    }
    return write_parts(parts, prefix, ".txt")


def write_parts(
    parts: dict[str, list[str]], prefix: Path, suffix: str, header: str | None = None
) -> dict[str, Path]:
    """Write the lines of each split beside `prefix`."""
    files = {split: prefix.with_name(f"{prefix.name}-{split}{suffix}") for split in parts}
    for split, lines in parts.items():
        first = [] if header is None else [header]
        files[split].write_text("\n".join([*first, *lines]) + "\n", encoding="utf-8")
    return files


def take_rows(
    files: dict[str, Path], data: Set, prefix: Path, rows: int, seed: int
) -> dict[str, Path]:
    """Cut the training file to rows, or sentences, drawn by the seed; the dev file to a tenth.

    What is cut is written beside `prefix`.
    """
    found = dict(files)
    for split, count in (("train", rows), ("dev", max(rows // 10, 30))):
        path = files[split]
        suffix = "".join(s for s in path.suffixes if s != ".gz")
        output = prefix.with_name(f"{prefix.name}-{split}-{rows}-{seed}{suffix}")
        tagged = data.task == "token-classification"
        text = "\n".join(read_lines(path))
        units = [unit for unit in split_rows(text, suffix, tagged=tagged) if unit.strip()]
        header = [] if tagged or not has_header(data, suffix) else [units.pop(0)]
        drawn = random.Random(seed).sample(units, min(count, len(units)))
        output.write_text(("\n\n" if tagged else "\n").join([*header, *drawn]) + "\n")
        found[split] = output
    return found


def split_rows(text: str, suffix: str, *, tagged: bool) -> list[str]:
    """Split a file into rows or sentences; a quoted text of a CSV file may have several lines."""
    if suffix != ".csv":
        return text.split("\n\n" if tagged else "\n")
    rows = [""]
    for line in text.split("\n"):
        rows[-1] += line
        if rows[-1].count('"') % 2:
            rows[-1] += "\n"
        else:
            rows.append("")
    return rows


def has_header(data: Set, suffix: str) -> bool:
    """Return whether the first line names columns; of no set is a column named by a number."""
    named = any(not value.isdigit() for value in data.columns.values())
    return (
        suffix in (".csv", ".tsv", ".txt")
        and (named or not data.columns)
        and not (data.train.startswith("sst5"))
    )


SETS = {
    "mrpc": Set(
        task="text-classification",
        train="mrpc/train.txt",
        dev="mrpc/dev.txt",
        test="mrpc/test.txt",
        columns={"text": "#1 String", "pair": "#2 String", "label": "Quality"},
    ),
    "banking77": Set(
        task="text-classification",
        train="banking77/train.csv",
        dev="banking77/dev.csv",
        test="banking77/test.csv",
    ),
    "sst2": Set(
        task="text-classification",
        train="sst2/train.tsv",
        dev="sst2/dev.tsv",
        test="sst2/test.tsv",
        rows=20_000,
    ),
    "chnsenticorp": Set(
        task="text-classification",
        train="chnsenticorp/train.tsv",
        dev="chnsenticorp/dev.tsv",
        test="chnsenticorp/dev.tsv",  # the public test file has no labels
        columns={"text": "0", "label": "1"},
        max_length=128,
        base="vocab/bert-base-chinese/vocab.txt",
    ),
    "chnsenticorp_pretrained": Set(
        task="text-classification",
        train="chnsenticorp/train.tsv",
        dev="chnsenticorp/train.tsv",
        test="chnsenticorp/dev.tsv",
        columns={"text": "0", "label": "1"},
        base=PRETRAINED,
        every=10,
    ),
    "msra_ner": Set(
        task="token-classification",
        train="msra_ner/train.txt",
        dev="msra_ner/dev.txt",
        test="msra_ner/test.txt",
        rows=400_000,  # lines: some 9,000 sentences
        base=PRETRAINED,
    ),
    "clinc150": Set(
        task="text-classification",
        train="clinc150-train.jsonl",
        dev="clinc150-dev.jsonl",
        test="clinc150-test.jsonl",
        out_of_scope="oos",
        splits="clinc150/data_full.json",
    ),
    "goemotions": Set(
        task="text-classification",
        train="goemotions/train.tsv",
        dev="goemotions/dev.tsv",
        test="goemotions/test.tsv",
        rows=20_000,
        columns={"text": "0", "label": "1"},
        problem_type="multi_label_classification",
    ),
    "stsb_en": Set(
        task="text-classification",
        train="stsb_en/train.csv",
        dev="stsb_en/dev.csv",
        test="stsb_en/test.csv",
        columns={"text": "0", "pair": "1", "label": "2"},
        problem_type="regression",
    ),
    "conll2003_en": Set(
        task="token-classification",
        train="conll2003_en/train.txt",
        dev="conll2003_en/dev.txt",
        test="conll2003_en/test.txt",
    ),
    "snips": Set(
        task="intent-slots",
        train="snips/train",
        dev="snips/dev",
        test="snips/test",
    ),
    "stsb_en_embeddings": Set(
        task="feature-extraction",
        train="stsb_en/train.csv",
        dev="stsb_en/dev.csv",
        test="stsb_en/test.csv",
        trained=False,
        columns={"text": "0", "pair": "1", "label": "2"},
    ),
    "squad_v1_subset": Set(
        task="question-answering",
        train="squad_v1_subset/train.json",
        dev="squad_v1_subset/train.json",
        test="squad_v1_subset/dev.json",
        max_length=256,
        articles=4,
    ),
    "sst5": Set(
        task="text-classification",
        train="sst5/train.txt",
        dev="sst5/dev.txt",
        test="sst5/test.txt",
    ),
    "subj": Set(
        task="text-classification", train="subj", dev="subj", test="subj", write=write_subj
    ),
    "cola": Set(
        task="text-classification",
        train="cola/train.tsv",
        dev="cola/dev.tsv",
        test="cola/test.tsv",
        columns={"text": "3", "label": "1"},
    ),
    "rte": Set(
        task="text-classification",
        train="rte/train.tsv",
        dev="rte/train.tsv",
        test="rte/dev.tsv",
        columns={"text": "sentence1", "pair": "sentence2", "label": "label"},
        every=10,
    ),
    "ag_news": Set(
        task="text-classification", train="ag_news", dev="ag_news", test="ag_news", write=write_news
    ),
    "weibo_ner": Set(
        task="token-classification",
        train="weibo_ner",
        dev="weibo_ner",
        test="weibo_ner",
        base=PRETRAINED,
        write=write_weibo,
    ),
}


def find_files(data: Set, shared: Path, prefix: Path) -> dict[str, Path]:
    """Locate the splits, gzipped or not; cut the training file to its first rows if asked."""
    if data.write:
        return data.write(shared, prefix)
    if data.splits:
        return write_splits(shared / data.splits, prefix)
    files = {}
    for split in ("train", "dev", "test"):
        path = shared / getattr(data, split)
        files[split] = path if path.exists() else path.with_name(path.name + ".gz")
    if data.every:
        return files | carve_rows(data, files["train"], prefix)
    if data.articles:
        return files | carve_articles(files["train"], data.articles, prefix)
    if data.rows:
        cut = prefix.with_name(f"{prefix.name}-train-{data.rows}{Path(data.train).suffix}")
        opened = gzip.open if files["train"].suffix == ".gz" else open
        with opened(files["train"], "rt", encoding="utf-8") as file:
            lines = [line for _, line in zip(range(data.rows + 1), file, strict=False)]
        cut.write_text("".join(lines), encoding="utf-8")
        files["train"] = cut
    return files


def write_splits(source: Path, prefix: Path) -> dict[str, Path]:
    """Write CLINC150's splits, those out of scope with the others, as JSON lines."""
    with gzip.open(source.with_name(source.name + ".gz"), "rt", encoding="utf-8") as file:
        splits = json.load(file)
    files = {}
    for split, name in (("train", "train"), ("dev", "val"), ("test", "test")):
        rows = [*splits[name], *splits[f"oos_{name}"]]
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        files[split] = prefix.with_name(f"{prefix.name}-{split}.jsonl")
        files[split].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return files


def carve_rows(data: Set, source: Path, prefix: Path) -> dict[str, Path]:
    """Part a file into training and dev, whose rows are every tenth, or what the set says."""
    lines = read_lines(source)
    header = lines.pop(0) if has_header(data, ".tsv") else None
    train = [line for i, line in enumerate(lines) if i % data.every]
    return write_parts({"train": train, "dev": lines[:: data.every]}, prefix, ".tsv", header)


def carve_articles(source: Path, count: int, prefix: Path) -> dict[str, Path]:
    """Part a SQuAD file into training and dev, by whole articles."""
    with gzip.open(source, "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    parts = {"train": articles[:-count], "dev": articles[-count:]}
    files = {split: prefix.with_name(f"{prefix.name}-{split}.json") for split in parts}
    for split, part in parts.items():
        files[split].write_text(json.dumps({"data": part}), encoding="utf-8")
    return files


def find_base(data: Set, shared: Path, model: Path, folder: Path) -> Path:
    """Return MiniLM, or make the random base that the set asks for."""
    if data.base is None:
        return model
    if data.base == PRETRAINED:
        return folder.parent / PRETRAINED
    if not folder.exists():
        script = HERE / "random_base.py"
        subprocess.run([sys.executable, script, shared / data.base, folder], check=True)
    return folder
