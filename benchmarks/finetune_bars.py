"""Compare `bertedge finetune` by its defaults with a plain Trainer script by Trainer's.

usage: python benchmarks/finetune_bars.py MINILM SHARED_DATA WORK [SET …] [--rows N …]
    [--seeds S …] [--runs ours plain minutes rates]

`plain` has as many epochs as the rule chooses for so many rows, `minutes` as many as fit the time
that ours took; `rates` is the plain script with the best of three learning rates, by dev. `--rows`
cuts the training data, and the dev data to a tenth of it. Each run is a process of its own in one
thread, and its time is that of the processor, from the start of Python: of ours to the end, of the
plain script to the end of its training. So several of these programs may run at a time, of other
sets each. What the record has already is not run again. Writes benchmarks/finetune.json.
"""

import argparse
import dataclasses
import json
import shutil
import sys
from pathlib import Path

from data_sets import HERE, SETS, Set, find_base, find_files, take_rows
from steps import add_run, finetune, read_rows, run_in_one_thread

from bertedge.finetune.defaults import usual_epochs

RESULT = HERE / "finetune.json"
RATES = (5e-5, 1.5e-4, 4e-4)
DEFAULT_RATE = 5e-5

METRICS = {
    ("text-classification", "single_label_classification"): "accuracy",
    ("text-classification", "multi_label_classification"): "micro_f1",
    ("text-classification", "regression"): "spearman",
    ("token-classification", "single_label_classification"): "entity_f1",
    ("intent-slots", "single_label_classification"): "frame_accuracy",
    ("question-answering", "single_label_classification"): "answer_f1",
}
COMPARED = [name for name, data in SETS.items() if data.trained]


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("minilm", "shared", "work"):
        parser.add_argument(name, type=lambda told: Path(told).absolute())
    parser.add_argument("sets", nargs="*", default=COMPARED)
    parser.add_argument("--rows", nargs="*", type=int, default=[])
    parser.add_argument("--seeds", nargs="*", type=int, default=[42])
    parser.add_argument("--runs", nargs="*", default=["ours", "plain"])
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    for name in told.sets:
        whole = find_files(SETS[name], told.shared, told.work / name)
        base = find_base(SETS[name], told.shared, told.minilm, told.work / f"{name}-base")
        for rows in told.rows or [None]:
            for seed in told.seeds:
                files = whole
                if rows is not None:
                    files = take_rows(whole, SETS[name], told.work / name, rows, seed)
                key = "-".join(map(str, [name, *([] if rows is None else [rows]), seed]))
                run = Run(
                    data=SETS[name], files=files, base=base, output=told.work / key, seed=seed
                )
                fill(key, run, told.runs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What all runs of a row of the record share."""

    data: Set
    files: dict[str, Path]
    base: Path
    output: Path
    seed: int


def fill(key: str, run: Run, runs: list[str]) -> None:
    """Run what the record lacks of one set, cut and seed."""
    row = read_rows(RESULT).get(key, {})
    row |= {"base": run.base.name, "metric": METRICS[run.data.task, run.data.problem_type]}

    def keep(name: str, found: dict[str, float]) -> dict[str, float]:
        row[name] = found
        print(key, name, json.dumps(row[name]), flush=True)
        add_run(RESULT, __file__, key, row, "torch", "transformers", "datasets")
        return row[name]

    ours = row.get("ours")
    if "ours" in runs and not ours:
        flags = f"--seed={run.seed}"
        ours = keep("ours", finetune(run.data, run.files, run.base, run.output, flags))
        shutil.rmtree(run.output)
    assert ours, f"{key}: ours comes first, it chooses the epochs"
    epochs = usual_epochs(int(ours["rows"])) if ours["few_shot"] else ours["epochs"]
    plain = row.get("plain")
    if "plain" in runs and not plain:
        plain = keep("plain", train(run, epochs))
    if "minutes" in runs and "minutes" not in row:
        assert plain, f"{key}: the plain script comes first, it tells the time of an epoch"
        spent = epochs * ours["seconds"] / plain["seconds"]
        keep("minutes", train(run, spent) | {"epochs": spent})
    if "rates" in runs:
        for rate in RATES:
            name = f"plain_{rate:g}"
            if rate == DEFAULT_RATE and plain:
                row[name] = plain
            elif name not in row:
                keep(name, train(run, epochs, rate))
        keep("best_rate", max((row[f"plain_{rate:g}"] for rate in RATES), key=lambda x: x["dev"]))


def train(run: Run, epochs: float, rate: float = DEFAULT_RATE) -> dict[str, float]:
    """Run the plain script."""
    settings = {
        "task": run.data.task,
        **{split: str(run.files[split]) for split in ("train", "dev", "test")},
        "columns": run.data.columns,
        "problem_type": run.data.problem_type,
        "out_of_scope": run.data.out_of_scope,
        "model": str(run.base),
        "output": str(run.output),
        "epochs": epochs,
        "learning_rate": rate,
        "max_length": run.data.max_length,
        "seed": run.seed,
        "threads": 1,
    }
    path = run.output.with_suffix(".json")
    path.write_text(json.dumps(settings))
    script = HERE / "peers" / "plain_trainer.py"
    found = run_in_one_thread([sys.executable, script, path])
    return json.loads(found.output.splitlines()[-1])


if __name__ == "__main__":
    main()
