"""The data sets of shared/data that the programs of this folder train on, and how."""

import dataclasses
import gzip
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Set:
    """A data set of shared/data and how it is trained on."""

    task: str
    train: str
    dev: str
    test: str
    epochs: float
    """0: the base is taken as it is, its embeddings need no training."""
    learning_rate: float = 5e-5
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


PRETRAINED = "pretrained"

SETS = {
    "mrpc": Set(
        task="text-classification",
        train="mrpc/train.txt",
        dev="mrpc/dev.txt",
        test="mrpc/test.txt",
        epochs=4,
        columns={"text": "#1 String", "pair": "#2 String", "label": "Quality"},
    ),
    "banking77": Set(
        task="text-classification",
        train="banking77/train.csv",
        dev="banking77/dev.csv",
        test="banking77/test.csv",
        epochs=4,
        learning_rate=1e-4,
    ),
    "sst2": Set(
        task="text-classification",
        train="sst2/train.tsv",
        dev="sst2/dev.tsv",
        test="sst2/test.tsv",
        epochs=2,
        rows=20_000,
    ),
    "chnsenticorp": Set(
        task="text-classification",
        train="chnsenticorp/train.tsv",
        dev="chnsenticorp/dev.tsv",
        test="chnsenticorp/dev.tsv",  # the public test file has no labels
        epochs=3,
        learning_rate=3e-4,
        columns={"text": "0", "label": "1"},
        max_length=128,
        base="vocab/bert-base-chinese/vocab.txt",
    ),
    "chnsenticorp_pretrained": Set(
        task="text-classification",
        train="chnsenticorp/train.tsv",
        dev="chnsenticorp/train.tsv",
        test="chnsenticorp/dev.tsv",
        epochs=3,
        learning_rate=3e-4,
        columns={"text": "0", "label": "1"},
        base=PRETRAINED,
        every=10,
    ),
    "msra_ner": Set(
        task="token-classification",
        train="msra_ner/train.txt",
        dev="msra_ner/dev.txt",
        test="msra_ner/test.txt",
        epochs=3,
        learning_rate=5e-4,
        rows=400_000,  # lines: some 9,000 sentences
        base=PRETRAINED,
    ),
    "clinc150": Set(
        task="text-classification",
        train="clinc150-train.jsonl",
        dev="clinc150-dev.jsonl",
        test="clinc150-test.jsonl",
        epochs=3,
        learning_rate=2e-4,
        out_of_scope="oos",
        splits="clinc150/data_full.json",
    ),
    "goemotions": Set(
        task="text-classification",
        train="goemotions/train.tsv",
        dev="goemotions/dev.tsv",
        test="goemotions/test.tsv",
        epochs=2,
        learning_rate=3e-4,
        rows=20_000,
        columns={"text": "0", "label": "1"},
        problem_type="multi_label_classification",
    ),
    "stsb_en": Set(
        task="text-classification",
        train="stsb_en/train.csv",
        dev="stsb_en/dev.csv",
        test="stsb_en/test.csv",
        epochs=4,
        columns={"text": "0", "pair": "1", "label": "2"},
        problem_type="regression",
    ),
    "conll2003_en": Set(
        task="token-classification",
        train="conll2003_en/train.txt",
        dev="conll2003_en/dev.txt",
        test="conll2003_en/test.txt",
        epochs=3,
    ),
    "snips": Set(
        task="intent-slots",
        train="snips/train",
        dev="snips/dev",
        test="snips/test",
        epochs=3,
        learning_rate=1e-4,
    ),
    "stsb_en_embeddings": Set(
        task="feature-extraction",
        train="stsb_en/train.csv",
        dev="stsb_en/dev.csv",
        test="stsb_en/test.csv",
        epochs=0,
        columns={"text": "0", "pair": "1", "label": "2"},
    ),
    "squad_v1_subset": Set(
        task="question-answering",
        train="squad_v1_subset/train.json",
        dev="squad_v1_subset/train.json",
        test="squad_v1_subset/dev.json",
        epochs=2,
        learning_rate=1e-4,
        max_length=256,
        articles=4,
    ),
}


def find_files(data: Set, shared: Path, prefix: Path) -> dict[str, Path]:
    """Locate the splits, gzipped or not; cut the training file to its first rows if asked."""
    if data.splits:
        return write_splits(shared / data.splits, prefix)
    files = {}
    for split in ("train", "dev", "test"):
        path = shared / getattr(data, split)
        files[split] = path if path.exists() else path.with_name(path.name + ".gz")
    if data.every:
        return files | carve_rows(files["train"], data.every, prefix)
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


def carve_rows(source: Path, every: int, prefix: Path) -> dict[str, Path]:
    """Part a file without a header into training and dev."""
    with gzip.open(source, "rt", encoding="utf-8") as file:
        lines = list(file)
    parts = {"train": [line for i, line in enumerate(lines) if i % every], "dev": lines[::every]}
    files = {split: prefix.with_name(f"{prefix.name}-{split}.tsv") for split in parts}
    for split, part in parts.items():
        files[split].write_text("".join(part), encoding="utf-8")
    return files


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
