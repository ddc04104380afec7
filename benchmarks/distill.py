"""Distill the checkpoints of tasks.py to 3 layers; compare both as int8 bundles.

usage: python benchmarks/distill.py SHARED_DATA WORK [SET …] [--only train|measure]

WORK holds the teachers and their bundles as tasks.py left them. The student is trained on the
set's whole training file, exported like its teacher, and both bundles are timed in processes of
their own, by turns: one text at a time, and all texts in batches. `--only` repeats training and
export, or all that is measured. Writes benchmarks/distill.json.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from data_sets import HERE, SETS, Set, find_files
from engines import engine, ratios_to, take_turns
from steps import BERTEDGE, bundle_of, export, read_rows, value_of, write_rows

from bertedge.bench.protocol import TextWorkload
from bertedge.bundle import open_bundle
from bertedge.data import Columns, open_examples
from bertedge.spec import Task

RESULT = HERE / "distill.json"
LAYERS = 3
TEXTS = 400
ROUNDS = 7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How a student is trained."""

    epochs: float
    learning_rate: float


PLANS = {
    "sst2": Plan(epochs=1, learning_rate=2e-4),
    "banking77": Plan(epochs=8, learning_rate=2e-4),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shared", type=lambda told: Path(told).absolute())
    parser.add_argument("work", type=lambda told: Path(told).absolute())
    parser.add_argument("sets", nargs="*", default=list(PLANS))
    parser.add_argument("--only", choices=("train", "measure"))
    told = parser.parse_args()
    rows = read_rows(RESULT)
    for name in told.sets:
        data = dataclasses.replace(SETS[name], rows=None)
        files = find_files(data, told.shared, told.work / name)
        if told.only != "measure":
            train(data, PLANS[name], files, told.work / name)
        if told.only == "train":
            continue
        rows[name] = dataclasses.asdict(PLANS[name]) | measure(data, files, told.work / name)
        print(name, json.dumps(rows[name]), flush=True)
        write_rows(RESULT, __file__, rows, layers=LAYERS)


def student_of(teacher: Path) -> Path:
    return teacher.with_name(f"{teacher.name}-{LAYERS}-layers")


def train(data: Set, plan: Plan, files: dict[str, Path], teacher: Path) -> None:
    """Distill the teacher and export the student."""
    student = student_of(teacher)
    command = [*BERTEDGE, "finetune", "--overwrite", f"--task={data.task}"]
    command += [f"--teacher={teacher}", f"--layers={LAYERS}", f"--output={student}"]
    command += [f"--train={files['train']}", f"--dev={files['dev']}"]
    command += [f"--epochs={plan.epochs}", f"--learning-rate={plan.learning_rate}"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    export(student, bundle_of(student))


def measure(data: Set, files: dict[str, Path], teacher: Path) -> dict[str, object]:
    """Score teacher and student on the test data, and time their bundles."""
    student = student_of(teacher)
    models = {
        "teacher_fp32": teacher,
        "teacher_int8": bundle_of(teacher),
        "student_fp32": student,
        "student_int8": bundle_of(student),
    }
    found = {name: value_of(each, files["test"], data.columns) for name, each in models.items()}
    bundles = {"teacher": bundle_of(teacher), "student": bundle_of(student)}
    return {
        **found,
        "points_lost": round(100 * (found["teacher_fp32"] - found["student_int8"]), 2),
        **time_by_turns(bundles, some_texts(files["test"], data.columns)),
    }


def some_texts(path: Path, columns: dict[str, str]) -> list[str]:
    file = open_examples(path, Task.TEXT_CLASSIFICATION, Columns(**columns))
    return [example.text for example, _ in zip(file, range(TEXTS), strict=False)]


def time_by_turns(bundles: dict[str, Path], texts: list[str]) -> dict[str, float]:
    """Time teacher and student alternately; the ratios are medians over the rounds."""
    given = tuple((text,) for text in texts)
    workloads = [
        TextWorkload(name="one_ms", texts=given, at_once=False),
        TextWorkload(name="all_s", texts=given, at_once=True),
    ]
    specs = [
        engine(name, "bundle", folder, bundle, variant=bundle.manifest.variants[0].name)
        for name, folder in bundles.items()
        for bundle in [open_bundle(folder)]
    ]
    # A turn at single texts has them all; a turn at all of them has two runs.
    runners = take_turns(specs, workloads, rounds=ROUNDS, repeats=len(texts), turn_s=5.0)
    rows: dict[str, float] = {}
    for workload, unit in (("one_ms", 1.0), ("all_s", 1000.0)):
        found = ratios_to(runners, "student", workload)
        for name, row in found.items():
            rows[f"{name}_{workload}"] = round(row["ms"] / unit, 4)
        speedup = found["teacher"]["times_of_ours"]
        rows[f"speedup_{workload.partition('_')[0]}"] = round(speedup, 2)
    return rows


if __name__ == "__main__":
    main()
