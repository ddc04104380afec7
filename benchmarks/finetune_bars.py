"""Compare `bertedge finetune` with a plain Trainer script: same base, data, epochs, seed.

usage: python benchmarks/finetune_bars.py MINILM SHARED_DATA WORK [--only plain|ours] [SET …]

Each run is a process of its own, the two of a set one after the other, nothing else beside them.
`--only` repeats one of the two and keeps what the record has of the other.
Writes benchmarks/finetune.json. The checkpoints stay in WORK for the other benchmarks.
"""

import dataclasses
import gzip
import json
import subprocess
import sys
from pathlib import Path

from provenance import provenance

from bertedge.runtime import machine

HERE = Path(__file__).parent
RESULT = HERE / "finetune.json"


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


METRICS = {
    ("text-classification", "single_label_classification"): "accuracy",
    ("text-classification", "multi_label_classification"): "micro_f1",
    ("text-classification", "regression"): "spearman",
    ("token-classification", "single_label_classification"): "entity_f1",
}
"""Of the tasks that the plain script has, which are those that are compared."""
COMPARED = [name for name, data in SETS.items() if (data.task, data.problem_type) in METRICS]


def main() -> None:
    model, shared, work = (Path(argument).absolute() for argument in sys.argv[1:4])
    work.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    rows = results.get("sets", {})
    arguments = sys.argv[4:]
    only = arguments[1] if arguments[:1] == ["--only"] else None
    for name in arguments[2 if only else 0 :] or COMPARED:
        files = find_files(SETS[name], shared, work / name)
        base = find_base(SETS[name], shared, model, work / f"{name}-base")
        row = rows.setdefault(name, {})
        if only != "ours":
            row["plain_trainer"] = run_plain(SETS[name], files, base, work / f"{name}-plain")
        if only != "plain":
            row["bertedge"] = run_ours(SETS[name], files, base, work / name)
        row |= {
            "base": base.name,
            "metric": METRICS[SETS[name].task, SETS[name].problem_type],
            "epochs": SETS[name].epochs,
            "learning_rate": SETS[name].learning_rate,
        }
        print(name, json.dumps(rows[name]), flush=True)
        record = {
            **provenance(__file__, "torch", "transformers", "datasets"),
            "sets": rows,
        }
        RESULT.write_text(json.dumps(record, indent=2) + "\n")


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


def run_plain(data: Set, files: dict[str, Path], model: Path, output: Path) -> dict[str, float]:
    settings = {
        "task": data.task,
        "train": str(files["train"]),
        "test": str(files["test"]),
        "columns": data.columns,
        "problem_type": data.problem_type,
        "out_of_scope": data.out_of_scope,
        "model": str(model),
        "output": str(output),
        "epochs": data.epochs,
        "learning_rate": data.learning_rate,
        "max_length": data.max_length,
        "seed": 42,
        "threads": machine.cores(),
    }
    path = output.with_suffix(".json")
    path.write_text(json.dumps(settings))
    script = HERE / "peers" / "plain_trainer.py"
    return json.loads(output_of([sys.executable, str(script), str(path)]).splitlines()[-1])


def run_ours(data: Set, files: dict[str, Path], model: Path, output: Path) -> dict[str, object]:
    bertedge = [sys.executable, "-m", "bertedge"]
    flags = [f"--{name}-column={value}" for name, value in data.columns.items()]
    command = [*bertedge, "finetune", "--overwrite", "--json", *flags]
    command += [f"--task={data.task}", f"--train={files['train']}", f"--dev={files['dev']}"]
    command += [f"--model={model}", f"--output={output}", f"--epochs={data.epochs}"]
    command += [f"--learning-rate={data.learning_rate}"]
    command += [f"--max-length={data.max_length}"] if data.max_length else []
    command += [f"--problem-type={data.problem_type}"] if "text" in data.task else []
    command += [f"--out-of-scope={data.out_of_scope}"] if data.out_of_scope else []
    training = json.loads(output_of(command))
    command = [*bertedge, "evaluate", str(output), f"--data={files['test']}", "--json", *flags]
    scores = json.loads(output_of(command))["scores"]
    return {
        "seconds": round(training["seconds"], 1),
        "value": round(scores["value"], 4),
        "dev": round(training["dev_scores"]["value"], 4),
        "best_epoch": training["best_epoch"],
    }


def output_of(command: list[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
