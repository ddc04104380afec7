"""Export the checkpoints that finetune_bars.py left, and score both on the test data.

usage: python benchmarks/end_to_end.py SHARED_DATA WORK [SET …]

Checkpoint (fp32, PyTorch) and bundle (int8, onnxruntime): metric, agreement, bytes. Dev data guards
the export, test data is reported. Writes benchmarks/end_to_end.json.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from finetune_bars import COMPARED, HERE, SETS, find_files
from provenance import provenance

import bertedge
from bertedge import evaluation
from bertedge.bundle import open_bundle
from bertedge.checkpoint import TorchEngine, load_model, open_checkpoint
from bertedge.examples import Columns, open_examples
from bertedge.tasks import Task

RESULT = HERE / "end_to_end.json"


def main() -> None:
    shared, work = (Path(argument).absolute() for argument in sys.argv[1:3])
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    rows = results.get("sets", {})
    for name in sys.argv[3:] or COMPARED:
        files = find_files(SETS[name], shared, work / name)
        bundle = work / f"{name}-bundle"
        command = [sys.executable, "-m", "bertedge", "export", str(work / name)]
        command += [f"--output={bundle}", "--quantize", "--overwrite"]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=sys.stderr)
        seconds = time.perf_counter() - began
        rows[name] = score(work / name, bundle, files["test"], SETS[name].columns)
        rows[name]["export_seconds"] = round(seconds, 1)
        print(name, json.dumps(rows[name]), flush=True)
        record = {
            **provenance(__file__, "torch", "transformers", "onnxruntime", "optimum-onnx"),
            "sets": rows,
        }
        RESULT.write_text(json.dumps(record, indent=2) + "\n")


def score(
    folder: Path, bundle: Path, test: Path, columns: dict[str, str], task: Task | None = None
) -> dict[str, object]:
    checkpoint = open_checkpoint(str(folder), task)
    opened = open_bundle(bundle)
    engine = bertedge.load(bundle, device="cpu").engine
    problem_type = checkpoint.decision.problem_type
    examples = open_examples(test, checkpoint.task, Columns(**columns), problem_type=problem_type)
    torch_engine = TorchEngine(load_model(checkpoint))
    reference = evaluation.run(
        evaluation.Labeller.of(checkpoint, checkpoint.tokenizer_json, torch_engine), examples
    )
    int8 = evaluation.run(
        evaluation.Labeller.of(opened.manifest, opened.tokenizer_json(), engine), examples
    )
    return {
        "metric": reference.scores.metric,
        "rows": reference.rows,
        "checkpoint": round(reference.scores.value, 4),
        "int8": round(int8.scores.value, 4),
        "agreement": round(evaluation.agreement(reference, int8), 4),
        "checkpoint_bytes": sum(p.stat().st_size for p in folder.glob("*.safetensors")),
        "bundle_bytes": sum(p.stat().st_size for p in bundle.iterdir()),
        "checkpoint_rows_per_second": round(reference.rows / reference.seconds),
        "int8_rows_per_second": round(int8.rows / int8.seconds),
    }


if __name__ == "__main__":
    main()
