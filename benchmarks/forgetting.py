"""What a classifier forgets that learns new labels, by how many old rows it sees again.

usage: python benchmarks/forgetting.py MINILM SHARED_DATA WORK [SET …] [--shares S …]

Two thirds of the labels of a set, drawn once, are old: a checkpoint is trained on their rows, and
goes on with the rows of the others, with `--replay-share` of the old ones. Both halves of the test
data are scored after. Beside it stands a model that is trained on all rows at once. At most 3,000
training rows a set; all by `finetune`'s defaults. What the record has already is not run again.
Writes benchmarks/forgetting.json, which docs/techniques/continual.md shows.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from data_sets import HERE, SETS, find_files
from few_shot import COLUMNS, read_texts, write
from steps import BERTEDGE, add_run, read_rows, run_in_one_thread, value_of

from bertedge.data import TextExample

RESULT = HERE / "forgetting.json"
MEASURED = ("banking77", "clinc150", "ag_news")
SHARES = (0.0, 0.1, 0.5)
MOST_ROWS = 3000


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("minilm", "shared", "work"):
        parser.add_argument(name, type=lambda told: Path(told).absolute())
    parser.add_argument("sets", nargs="*", default=MEASURED)
    parser.add_argument("--shares", nargs="*", type=float, default=SHARES)
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    for name in told.sets:
        files = write_halves(name, told.shared, told.work / name)
        old = told.work / f"{name}-old"
        runs = {
            "old": ([f"--model={told.minilm}"], "old", old),
            "all": ([f"--model={told.minilm}"], "all", told.work / f"{name}-all"),
        }
        for share in told.shares:
            flags = [f"--model={old}", f"--replay={files['train-old']}"]
            flags += [f"--replay-share={share}"]
            runs[f"replay {share:g}"] = (flags, "new", told.work / f"{name}-replay")
        for run, (flags, part, output) in runs.items():
            if run not in read_rows(RESULT).get(name, {}):
                found = measure(flags, files, part, output)
                print(name, run, json.dumps(found), flush=True)
                add_run(RESULT, __file__, name, {run: found}, "torch", "transformers")


def measure(
    flags: Sequence[str], files: dict[str, Path], part: str, output: Path
) -> dict[str, object]:
    """Train on a part of the rows, and score what the test data have of the labels it knows."""
    command = [*BERTEDGE, "finetune", "--task=text-classification", "--overwrite"]
    command += [f"--train={files[f'train-{part}']}", f"--output={output}", *flags]
    run = run_in_one_thread(command)
    halves = ("old",) if part == "old" else ("old", "new")
    scores = {half: value_of(output, files[f"test-{half}"], COLUMNS) for half in halves}
    return {"seconds": run.seconds, **scores}


def write_halves(name: str, shared: Path, prefix: Path) -> dict[str, Path]:
    """Write training and test rows of the old labels, of the new ones, and the former of all."""
    data = SETS[name]
    files = find_files(data, shared, prefix)
    rows = {split: read_texts(files[split], data) for split in ("train", "test")}
    drawn = random.Random(0)
    rows["train"] = drawn.sample(rows["train"], min(MOST_ROWS, len(rows["train"])))
    labels = sorted({row.label for row in rows["train"]})
    old = set(drawn.sample(labels, 2 * len(labels) // 3))

    def of(split: str, *, known: bool) -> list[TextExample]:
        return [row for row in rows[split] if (row.label in old) == known]

    parts = {
        "train-all": rows["train"],
        **{
            f"{split}-{half}": of(split, known=half == "old")
            for split in rows
            for half in ("old", "new")
        },
    }
    return {
        part: write(each, prefix.with_name(f"{prefix.name}-{part}.csv"))
        for part, each in parts.items()
    }


if __name__ == "__main__":
    main()
