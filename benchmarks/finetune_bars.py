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
    learning_rate: float = 5e-5
    rows: int | None = None
    max_length: int | None = None
    base: str | None = None
    """A vocabulary of shared/data: random weights instead of MiniLM."""
    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    problem_type: str = "single_label_classification"
    out_of_scope: str | None = None
    """The label of texts that no label fits."""
    splits: str | None = None
    """A JSON object of all splits, of which the three files are written."""


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
    "clinc150": Set(
        task="text-classification",
        train="clinc150-train.jsonl",
        dev="clinc150-dev.jsonl",
        test="clinc150-test.jsonl",
        epochs=4,
        learning_rate=1e-4,
        out_of_scope="oos",
        splits="clinc150/data_full.json",
    ),
    "goemotions": Set(
        task="text-classification",
        train="goemotions/train.tsv",
        dev="goemotions/dev.tsv",
        test="goemotions/test.tsv",
        epochs=3,
        learning_rate=1e-4,
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
}


METRICS = {
    ("text-classification", "single_label_classification"): "accuracy",
    ("text-classification", "multi_label_classification"): "micro_f1",
    ("text-classification", "regression"): "spearman",
    ("token-classification", "single_label_classification"): "entity_f1",
}


def main() -> None:
    model, shared, work = (Path(argument).absolute() for argument in sys.argv[1:4])
    work.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    rows = results.get("sets", {})
    arguments = sys.argv[4:]
    only = arguments[1] if arguments[:1] == ["--only"] else None
    for name in arguments[2 if only else 0 :] or SETS:
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


def find_base(data: Set, shared: Path, model: Path, folder: Path) -> Path:
    """Return MiniLM, or make the random base that the set asks for."""
    if data.base is None:
        return model
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
