"""Every task on a real set: what a checkpoint reaches, and what is left of it as an int8 bundle.

usage: python benchmarks/tasks.py MINILM SHARED_DATA WORK [SET …] [--only STEP] [--cores N]

For each set the steps: `finetune`; `export --quantize`; `score`, checkpoint and bundle on the test
data; and `bench` for the time of one text. `--only` does one of them with what the others left in
WORK; `--cores` says on how many a checkpoint was trained that is there already. The Chinese bases
are pretrain.py's. Writes benchmarks/tasks.json.
"""

import argparse
import json
from pathlib import Path

from data_sets import HERE, SETS, Set, find_base, find_files
from steps import (
    BERTEDGE,
    bundle_of,
    columns_of,
    export,
    finetune,
    output_of,
    read_rows,
    score,
    training_of,
    write_rows,
)

from bertedge.bundle import open_bundle
from bertedge.runtime import machine
from bertedge.spec import Task

RESULT = HERE / "tasks.json"
ONE_TEXT = "texts one by one"


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("minilm", "shared", "work"):
        parser.add_argument(name, type=lambda told: Path(told).absolute())
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--only", choices=("finetune", "export", "score", "bench"))
    parser.add_argument("--cores", type=int)
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    rows = read_rows(RESULT)
    for name in told.sets:
        data, run, bundle = SETS[name], told.work / name, bundle_of(told.work / name)
        files = find_files(data, told.shared, run)
        row = rows.setdefault(name, {})
        row["training_cores"] = told.cores or row.get("training_cores", machine.cores())
        if not data.trained:
            run = told.minilm
        elif told.only in (None, "finetune"):
            base = find_base(data, told.shared, told.minilm, told.work / f"{name}-base")
            finetune(data, files, base, run)
            row["training_cores"] = machine.cores()
        if told.only in (None, "export"):
            # Nothing that was trained says what it is for and what it is judged on.
            data_flags = [f"--task={data.task}", f"--eval-data={files['dev']}"]
            flags = [] if data.trained else [*data_flags, *columns_of(data.columns)]
            export(run, bundle, *flags)
        if told.only in (None, "score"):
            row |= measure(data, run, bundle, files["test"])
        if told.only in (None, "bench"):
            row |= time_one_text(data, run, bundle, files["test"])
        print(name, json.dumps(row), flush=True)
        write_rows(RESULT, __file__, rows)


def measure(data: Set, run: Path, bundle: Path, test: Path) -> dict[str, object]:
    """Score checkpoint and bundle on the test data."""
    training = training_of(run) if data.trained else None
    (variant,) = open_bundle(bundle).manifest.variants
    return {
        "task": data.task,
        "problem_type": data.problem_type if "text" in data.task else None,
        **score(run, bundle, test, data.columns, Task(data.task)),
        "variant": variant.name,
        "recipe": variant.quantization.recipe if variant.quantization else None,
        "threshold": training.model.rule.threshold if training else None,
        "calibration_error": (
            training.calibration.raw if training and training.calibration else None
        ),
        "training_seconds": round(training.seconds) if training else None,
    }


def time_one_text(data: Set, run: Path, bundle: Path, test: Path) -> dict[str, float]:
    """Time the test texts one by one, from text to labels, in both engines."""
    command = [*BERTEDGE, "bench", str(bundle), f"--baseline={run}", f"--data={test}", "--quick"]
    # Of pairs that embeddings are compared by, bench reads the first texts.
    columns = columns_of(data.columns) if data.trained else ["--text-column=0", "--no-header"]
    command += [*columns, "--grid=1x16", "--device=cpu", "--json"]
    report = json.loads(output_of(command))
    (variant,) = open_bundle(bundle).manifest.variants
    p50 = {
        row["engine"]: row["latency"]["p50_ms"]
        for row in report["results"]
        if row["workload"] == ONE_TEXT
    }
    return {
        "checkpoint_p50_ms": round(p50["torch-fp32"], 3),
        "int8_p50_ms": round(p50[variant.name], 3),
    }


if __name__ == "__main__":
    main()
