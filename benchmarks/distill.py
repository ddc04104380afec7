"""Distill checkpoints to 3 layers by `finetune`'s defaults; compare with students of no teacher.

usage: python benchmarks/distill.py MINILM SHARED_DATA WORK [SET …] [--rows N] [--seeds S …]
    [--timed]

Of each set a teacher is trained, a student distilled from it, and a student of as many layers that
has the labels alone; none is told epochs or rates. `--rows` cuts the training data, and the dev
data to a tenth of it. `--timed` exports teacher and student to int8 and times both bundles in
processes of their own, by turns: one text at a time, and all texts in batches. What the record has
already is not run again. Writes benchmarks/distill.json.
"""

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

from data_sets import HERE, SETS, Set, find_base, find_files, take_rows
from engines import engine, ratios_to, take_turns
from steps import add_run, bundle_of, export, finetune, read_rows, value_of
from transformers import AutoModel, AutoTokenizer

from bertedge.bench.protocol import TextWorkload
from bertedge.bundle import open_bundle
from bertedge.data import Columns, open_examples
from bertedge.finetune.distill import make_student
from bertedge.spec import Task

RESULT = HERE / "distill.json"
LAYERS = 3
TEXTS = 400
ROUNDS = 7
COMPARED = ("sst2", "banking77", "clinc150", "sst5", "subj", "ag_news", "stsb_en", "conll2003_en")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("minilm", "shared", "work"):
        parser.add_argument(name, type=lambda told: Path(told).absolute())
    parser.add_argument("sets", nargs="*", default=COMPARED)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--seeds", nargs="*", type=int, default=[42])
    parser.add_argument("--timed", action="store_true")
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    for name in told.sets:
        data, prefix = SETS[name], told.work / name
        base = find_base(data, told.shared, told.minilm, told.work / f"{name}-base")
        whole = find_files(data, told.shared, prefix)
        for seed in told.seeds:
            files = take_rows(whole, data, prefix, told.rows, seed) if told.rows else whole
            key = "-".join(map(str, [name, *([told.rows] if told.rows else []), seed]))
            fill(key, Run(data=data, files=files, base=base, prefix=told.work / key, seed=seed))
            if told.timed:
                time_bundles(key, data, files, told.work / key)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What the three trainings of a row of the record share."""

    data: Set
    files: dict[str, Path]
    base: Path
    prefix: Path
    seed: int

    def train(self, name: str) -> dict[str, float]:
        output, flags = folder_of(self.prefix, name), [f"--seed={self.seed}"]
        base: Path | None = self.base
        if name == "student":
            base = None
            flags += [f"--teacher={folder_of(self.prefix, 'teacher')}", f"--layers={LAYERS}"]
        elif name == "undistilled":
            base = take_layers(self.base, folder_of(self.prefix, "base"))
        return finetune(self.data, self.files, base, output, *flags)


def folder_of(prefix: Path, name: str) -> Path:
    return prefix.with_name(f"{prefix.name}-{name}")


def fill(key: str, run: Run) -> None:
    """Run what the record lacks of one set and seed."""
    row = read_rows(RESULT).get(key, {})
    for name in ("teacher", "undistilled", "student"):
        if name not in row:
            row[name] = run.train(name)
            print(key, name, json.dumps(row[name]), flush=True)
            lost = row["teacher"]["value"] - row[name]["value"]
            row[name]["points_lost"] = round(100 * lost, 2)
            add_run(RESULT, __file__, key, row, layers=LAYERS)
    for name in ("undistilled", "base"):
        shutil.rmtree(folder_of(run.prefix, name), ignore_errors=True)


def take_layers(base: Path, folder: Path) -> Path:
    """Write the base with as many layers as a student, those that a student has."""
    make_student(AutoModel.from_pretrained(base), LAYERS).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def time_bundles(key: str, data: Set, files: dict[str, Path], prefix: Path) -> None:
    """Export teacher and student to int8, score both on the test data and time them."""
    row = read_rows(RESULT)[key]
    folders = {name: folder_of(prefix, name) for name in ("teacher", "student")}
    for name, folder in folders.items():
        export(folder, bundle_of(folder))
        value = value_of(bundle_of(folder), files["test"], data.columns)
        row[name] |= {"int8": value}
    bundles = {name: bundle_of(folder) for name, folder in folders.items()}
    row |= time_by_turns(bundles, some_texts(files["test"], data.columns))
    print(key, json.dumps(row), flush=True)
    add_run(RESULT, __file__, key, row, layers=LAYERS)


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
