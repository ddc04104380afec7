"""Every task on a real set: what a checkpoint reaches, and what is left of it as an int8 bundle.

usage: python benchmarks/tasks.py MINILM SHARED_DATA WORK [--keep] [SET …]

For each set: `finetune` (with --keep the checkpoint that is in WORK), `export --quantize`, both
scored on the test data, and `bench` for the time of one text, alone on the machine. Writes
benchmarks/tasks.json.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from end_to_end import score
from finetune_bars import HERE, SETS, Set, find_base, find_files, output_of, run_ours
from provenance import provenance

from bertedge.bundle import open_bundle
from bertedge.checkpoint import open_checkpoint

RESULT = HERE / "tasks.json"
ONE_TEXT = "texts one by one"
BERTEDGE = [sys.executable, "-m", "bertedge"]


def main() -> None:
    model, shared, work = (Path(argument).absolute() for argument in sys.argv[1:4])
    work.mkdir(parents=True, exist_ok=True)
    keep = "--keep" in sys.argv
    rows = json.loads(RESULT.read_text())["sets"] if RESULT.exists() else {}
    for name in [argument for argument in sys.argv[4:] if argument != "--keep"] or SETS:
        data, run = SETS[name], work / name
        files = find_files(data, shared, run)
        if not (keep and run.exists()):
            run_ours(data, files, find_base(data, shared, model, work / f"{name}-base"), run)
        rows[name] = measure(data, run, work / f"{name}-bundle", files["test"])
        print(name, json.dumps(rows[name]), flush=True)
        record = {
            **provenance(__file__, "torch", "transformers", "onnxruntime", "optimum-onnx"),
            "sets": rows,
        }
        RESULT.write_text(json.dumps(record, indent=2) + "\n")


def measure(data: Set, run: Path, bundle: Path, test: Path) -> dict[str, object]:
    """Export, score on the test data and time one checkpoint."""
    began = time.perf_counter()
    command = [*BERTEDGE, "export", str(run), f"--output={bundle}", "--quantize", "--overwrite"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    seconds = time.perf_counter() - began
    training = open_checkpoint(str(run)).training
    assert training is not None
    (variant,) = open_bundle(bundle).manifest.variants
    return {
        "task": data.task,
        "problem_type": data.problem_type if "text" in data.task else None,
        **score(run, bundle, test, data.columns),
        "variant": variant.name,
        "recipe": variant.quantization.recipe if variant.quantization else None,
        "threshold": training.decision.threshold,
        "calibration_error": training.calibration.raw if training.calibration else None,
        **time_one_text(data, run, bundle, test, variant.name),
        "training_seconds": round(training.seconds),
        "export_seconds": round(seconds),
    }


def time_one_text(data: Set, run: Path, bundle: Path, test: Path, variant: str) -> dict[str, float]:
    """Time the test texts one by one, from text to labels, in both engines."""
    flags = [f"--{name}-column={value}" for name, value in data.columns.items()]
    command = [*BERTEDGE, "bench", str(bundle), f"--baseline={run}", f"--data={test}"]
    report = json.loads(output_of([*command, *flags, "--grid=1x16", "--device=cpu", "--json"]))
    p50 = {
        row["engine"]: row["latency"]["p50_ms"]
        for row in report["results"]
        if row["workload"] == ONE_TEXT
    }
    return {
        "checkpoint_p50_ms": round(p50["torch-fp32"], 3),
        "int8_p50_ms": round(p50[variant], 3),
    }


if __name__ == "__main__":
    main()
