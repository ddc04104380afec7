"""Every task on a real set: what a checkpoint reaches, and what is left of it as an int8 bundle.

usage: python benchmarks/tasks.py MINILM SHARED_DATA WORK [SET …] [--only STEP] [--cores N]

For each set the steps: `finetune`; `export --quantize`; `score`, checkpoint and bundle on the test
data; and `bench` for the time of one text. `--only` does one of them with what the others left in
WORK; `--cores` says on how many a checkpoint was trained that is there already. The Chinese bases
are pretrain.py's. Writes benchmarks/tasks.json.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from end_to_end import score
from finetune_bars import HERE, SETS, Set, find_base, find_files, output_of, run_ours
from provenance import provenance

from bertedge.bundle import open_bundle
from bertedge.checkpoint import open_checkpoint
from bertedge.runtime import machine
from bertedge.tasks import Task

RESULT = HERE / "tasks.json"
ONE_TEXT = "texts one by one"
BERTEDGE = [sys.executable, "-m", "bertedge"]


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("minilm", "shared", "work"):
        parser.add_argument(name, type=lambda told: Path(told).absolute())
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--only", choices=("finetune", "export", "score", "bench"))
    parser.add_argument("--cores", type=int, default=machine.cores())
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    rows = json.loads(RESULT.read_text())["sets"] if RESULT.exists() else {}
    for name in told.sets:
        data, run, bundle = SETS[name], told.work / name, told.work / f"{name}-bundle"
        files = find_files(data, told.shared, run)
        row = rows.setdefault(name, {"training_cores": told.cores})
        if not data.epochs:
            run = told.minilm
        elif told.only in (None, "finetune"):
            base = find_base(data, told.shared, told.minilm, told.work / f"{name}-base")
            run_ours(data, files, base, run)
            row["training_cores"] = machine.cores()
        if told.only in (None, "export"):
            export(data, run, bundle, files["dev"])
        if told.only in (None, "score"):
            row |= measure(data, run, bundle, files["test"])
        if told.only in (None, "bench"):
            row |= time_one_text(data, run, bundle, files["test"])
        print(name, json.dumps(row), flush=True)
        record = {
            **provenance(__file__, "torch", "transformers", "onnxruntime", "optimum-onnx"),
            "sets": rows,
        }
        RESULT.write_text(json.dumps(record, indent=2) + "\n")


def export(data: Set, run: Path, bundle: Path, dev: Path) -> None:
    """Make the int8 bundle."""
    command = [*BERTEDGE, "export", str(run), f"--output={bundle}", "--quantize", "--overwrite"]
    if not data.epochs:  # nothing that was trained says what it is for and what it is judged on
        command += [f"--task={data.task}", f"--eval-data={dev}", *columns_of(data)]
    subprocess.run(command, check=True, stdout=sys.stderr)


def measure(data: Set, run: Path, bundle: Path, test: Path) -> dict[str, object]:
    """Score checkpoint and bundle on the test data."""
    training = open_checkpoint(str(run)).training if data.epochs else None
    (variant,) = open_bundle(bundle).manifest.variants
    return {
        "task": data.task,
        "problem_type": data.problem_type if "text" in data.task else None,
        **score(run, bundle, test, data.columns, Task(data.task)),
        "variant": variant.name,
        "recipe": variant.quantization.recipe if variant.quantization else None,
        "threshold": training.decision.threshold if training else None,
        "calibration_error": (
            training.calibration.raw if training and training.calibration else None
        ),
        "training_seconds": round(training.seconds) if training else None,
    }


def time_one_text(data: Set, run: Path, bundle: Path, test: Path) -> dict[str, float]:
    """Time the test texts one by one, from text to labels, in both engines."""
    command = [*BERTEDGE, "bench", str(bundle), f"--baseline={run}", f"--data={test}", "--quick"]
    # Of pairs that embeddings are compared by, bench reads the first texts.
    columns = columns_of(data) if data.epochs else ["--text-column=0", "--no-header"]
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


def columns_of(data: Set) -> list[str]:
    return [f"--{name}-column={value}" for name, value in data.columns.items()]


if __name__ == "__main__":
    main()
