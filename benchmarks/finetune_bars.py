"""Compare `bertedge finetune` with a plain Trainer script: same base, data, epochs, seed.

usage: python benchmarks/finetune_bars.py MINILM SHARED_DATA WORK [--only plain|ours] [SET …]

Each run is a process of its own, the two of a set one after the other, nothing else beside them.
`--only` repeats one of the two and keeps what the record has of the other, or else describes the
checkpoint that is in WORK already, trained on as many cores as this program has. Writes
benchmarks/finetune.json. The checkpoints stay in WORK for the other benchmarks.
"""

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
    model, shared, work = (Path(argument).absolute() for argument in sys.argv[1:4])
    work.mkdir(parents=True, exist_ok=True)
    rows = read_rows(RESULT)
    arguments = sys.argv[4:]
    only = arguments[1] if arguments[:1] == ["--only"] else None
    for name in arguments[2 if only else 0 :] or COMPARED:
        files = find_files(SETS[name], shared, work / name)
        base = find_base(SETS[name], shared, model, work / f"{name}-base")
        row = rows.setdefault(name, {})
        if only != "ours":
            row["plain_trainer"] = run_plain(SETS[name], files, base, work / f"{name}-plain")
        if only != "plain":
            row["bertedge"] = finetune(SETS[name], files, base, work / name)
        elif "bertedge" not in row:
            row["bertedge"] = describe(SETS[name], files, work / name)
        row |= {
            "base": base.name,
            "cores": machine.cores(),
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
