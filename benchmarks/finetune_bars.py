"""Compare `bertedge finetune` with a plain Trainer script: same base, data, epochs, seed.

usage: python benchmarks/finetune_bars.py MINILM SHARED_DATA WORK [SET …] [--only plain|ours]
    [--untimed]

Each run is a process of its own, the two of a set one after the other, nothing else beside them.
`--only` repeats one of the two and keeps what the record has of the other, or else scores the
checkpoint that is in WORK already. `--untimed` is for a machine that does other work too: seconds
are left out. Writes benchmarks/finetune.json. The checkpoints stay in WORK for other benchmarks.
"""

import argparse
import json
import sys
from pathlib import Path

from data_sets import HERE, SETS, Set, find_base, find_files
from steps import describe, finetune, output_of, read_rows, write_rows

from bertedge.runtime import machine

RESULT = HERE / "finetune.json"

METRICS = {
    ("text-classification", "single_label_classification"): "accuracy",
    ("text-classification", "multi_label_classification"): "micro_f1",
    ("text-classification", "regression"): "spearman",
    ("token-classification", "single_label_classification"): "entity_f1",
    ("intent-slots", "single_label_classification"): "frame_accuracy",
    ("question-answering", "single_label_classification"): "answer_f1",
}
COMPARED = [name for name, data in SETS.items() if data.epochs]


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("minilm", "shared", "work"):
        parser.add_argument(name, type=lambda told: Path(told).absolute())
    parser.add_argument("sets", nargs="*", default=COMPARED)
    parser.add_argument("--only", choices=("plain", "ours"))
    parser.add_argument("--untimed", action="store_true")
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    rows = read_rows(RESULT)
    for name in told.sets:
        files = find_files(SETS[name], told.shared, told.work / name)
        base = find_base(SETS[name], told.shared, told.minilm, told.work / f"{name}-base")
        row = rows.setdefault(name, {})
        found = {}
        if told.only != "ours":
            output = told.work / f"{name}-plain"
            found["plain_trainer"] = run_plain(SETS[name], files, base, output)
        if told.only != "plain":
            found["bertedge"] = finetune(SETS[name], files, base, told.work / name)
        elif "bertedge" not in row:
            found["bertedge"] = describe(SETS[name], files, told.work / name)
        if told.untimed:
            found = {run: own | {"seconds": None} for run, own in found.items()}
        row |= found | {
            "base": base.name,
            "metric": METRICS[SETS[name].task, SETS[name].problem_type],
            "epochs": SETS[name].epochs,
            "learning_rate": SETS[name].learning_rate,
        }
        print(name, json.dumps(rows[name]), flush=True)
        write_rows(RESULT, __file__, rows, "torch", "transformers", "datasets")


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


if __name__ == "__main__":
    main()
