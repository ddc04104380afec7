"""Train, export and score the models of models/home-intents; its card shows the figures.

usage: python benchmarks/home_intents.py MINILM WORK

Writes benchmarks/home_intents.json. The test split is read here alone.
"""

import json
import subprocess
import sys
from pathlib import Path

from end_to_end import score
from finetune_bars import HERE
from provenance import provenance

from bertedge.checkpoint import open_checkpoint

RESULT = HERE / "home_intents.json"
MODEL = HERE.parent / "models" / "home-intents"
RECIPES = {
    "intents": ("finetune.toml", {"text": "text", "label": "intent"}),
    "slots": ("slots.toml", {"text": "tokens", "label": "tags"}),
    "both": ("joint.toml", {"text": "tokens", "label": "tags", "intent": "intent"}),
}


def main(minilm: str, folder: str) -> None:
    work = Path(folder)
    bertedge = [sys.executable, "-m", "bertedge"]
    rows = {}
    for name, (recipe, columns) in RECIPES.items():
        run, bundle = work / name, work / f"{name}-bundle"
        command = [*bertedge, "finetune", f"--recipe={MODEL / recipe}", f"--model={minilm}"]
        subprocess.run([*command, f"--output={run}", "--overwrite"], check=True, stdout=sys.stderr)
        command = [*bertedge, "export", str(run), f"--output={bundle}", "--quantize"]
        subprocess.run([*command, "--overwrite"], check=True, stdout=sys.stderr)
        rows[name] = score(run, bundle, MODEL / "data" / "test.jsonl", columns)
        training = open_checkpoint(str(run)).training
        assert training is not None
        rows[name]["training_seconds"] = round(training.seconds)
    record = {
        **provenance(__file__, "torch", "transformers", "onnxruntime", "optimum-onnx"),
        "sets": rows,
    }
    RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
