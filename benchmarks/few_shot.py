"""Compare `bertedge finetune` on a few examples with a plain Trainer script and with setfit.

usage: python benchmarks/few_shot.py MINILM SHARED_DATA WORK [SET …] [--rows-each N]
    [--draws S …] [--peers plain setfit]

Each draw has N rows of each label (16 unless told), the same for all; there is no dev file. The
plain script has the defaults of TrainingArguments and as many epochs as finetune's rule has for so
many rows. `setfit` and `sentence-transformers` must be on the path. What the record has already is
not run again. Each run has one thread; its time is that of the processor, of ours to the end, of
the others to the end of training. Writes benchmarks/few_shot.json, which
docs/techniques/few-shot.md shows.
"""

import argparse
import csv
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from data_sets import HERE, SETS, Set, find_files
from steps import BERTEDGE, add_run, read_rows, run_in_one_thread, training_of, value_of

from bertedge.data import Columns, TextExample, open_examples
from bertedge.finetune.defaults import usual_epochs
from bertedge.spec import Task

RESULT = HERE / "few_shot.json"
MEASURED = ("sst2", "ag_news", "banking77", "clinc150")
MOST_TESTED = 2000
"""Rows of the test file, drawn once."""
COLUMNS = {"text": "text", "label": "label"}
PEERS = {"plain": "plain_trainer.py", "setfit": "setfit_model.py"}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("minilm", "shared", "work"):
        parser.add_argument(name, type=lambda told: Path(told).absolute())
    parser.add_argument("sets", nargs="*", default=MEASURED)
    parser.add_argument("--rows-each", type=int, default=16)
    parser.add_argument("--draws", nargs="*", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    packages = ["torch", "transformers"]
    packages += ["setfit", "sentence-transformers"] if "setfit" in told.peers else []
    for name in told.sets:
        for draw in told.draws:
            key = f"{name}-{told.rows_each}-{draw}"
            row = read_rows(RESULT).get(key, {}) | {"base": told.minilm.name}
            files = write_draw(name, told.shared, told.work / key, told.rows_each, draw)
            for run in ("ours", *told.peers):
                if run in row:
                    continue
                if run == "ours":
                    found = finetune(files, told.minilm, told.work / f"{key}-run", draw)
                else:
                    found = run_peer(PEERS[run], files, told.minilm, told.work / f"{key}-run", draw)
                row[run] = found
                print(key, run, json.dumps(found), flush=True)
                add_run(RESULT, __file__, key, row, *packages)


def write_draw(name: str, shared: Path, prefix: Path, each: int, seed: int) -> dict[str, Path]:
    """Write so many rows of each label as a training file, and the test file, in one format."""
    data = SETS[name]
    files = find_files(data, shared, prefix.with_name(name))
    generator = random.Random(seed)
    by_label: dict[str, list[TextExample]] = {}
    for row in read_texts(files["train"], data):
        by_label.setdefault(row.label, []).append(row)
    drawn = [row for rows in by_label.values() for row in generator.sample(rows, each)]
    generator.shuffle(drawn)
    test = read_texts(files["test"], data)
    test = random.Random(0).sample(test, min(len(test), MOST_TESTED))
    return {
        "train": write(drawn, prefix.with_name(f"{prefix.name}-train.csv")),
        "test": write(test, prefix.with_name(f"{name}-test-drawn.csv")),
    }


def read_texts(path: Path, data: Set) -> list[TextExample]:
    """Read a labelled file, without what is out of scope."""
    rows = open_examples(path, Task.TEXT_CLASSIFICATION, Columns(**data.columns))
    return [row for row in rows if isinstance(row, TextExample) and row.label != data.out_of_scope]


def write(rows: Sequence[TextExample], path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *((row.text, row.label) for row in rows)])
    return path


def finetune(files: dict[str, Path], base: Path, output: Path, seed: int) -> dict[str, object]:
    command = [*BERTEDGE, "finetune", "--task=text-classification", "--overwrite"]
    command += [f"--train={files['train']}", f"--model={base}", f"--output={output}"]
    run = run_in_one_thread([*command, f"--seed={seed}"])
    training = training_of(output)
    return {
        "seconds": run.seconds,
        "value": value_of(output, files["test"], COLUMNS),
        "few_shot": training.settings["few_shot"],
    }


def run_peer(
    script: str, files: dict[str, Path], base: Path, output: Path, seed: int
) -> dict[str, object]:
    rows = sum(1 for _ in files["train"].open(encoding="utf-8")) - 1
    settings = {
        "task": "text-classification",
        **{split: str(path) for split, path in files.items()},
        "dev": str(files["train"]),
        "columns": COLUMNS,
        "problem_type": "single_label_classification",
        "out_of_scope": None,
        "model": str(base),
        "output": str(output),
        "epochs": usual_epochs(rows),
        "learning_rate": 5e-5,
        "max_length": None,
        "seed": seed,
        "threads": 1,
    }
    path = output.with_suffix(".json")
    path.write_text(json.dumps(settings))
    run = run_in_one_thread([sys.executable, HERE / "peers" / script, path])
    found = json.loads(run.output.splitlines()[-1])
    return {name: found[name] for name in ("seconds", "value")}


if __name__ == "__main__":
    main()
