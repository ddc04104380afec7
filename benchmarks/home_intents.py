"""Train, export and score the models of models/home-intents; its card shows the figures.

usage: python benchmarks/home_intents.py MINILM WORK

Writes benchmarks/home_intents.json. The test split is read here alone.
"""

import json
import sys
from pathlib import Path

from data_sets import HERE
from steps import make, write_rows

RESULT = HERE / "home_intents.json"
MODEL = HERE.parent / "models" / "home-intents"
RECIPES = {
    "intents": ("finetune.toml", {"text": "text", "label": "intent"}),
    "slots": ("slots.toml", {"text": "tokens", "label": "tags"}),
    "both": ("joint.toml", {"text": "tokens", "label": "tags", "intent": "intent"}),
}


def main(minilm: str, folder: str) -> None:
    test = MODEL / "data" / "test.jsonl"
    rows = {}
    for name, (recipe, columns) in RECIPES.items():
        run = Path(folder) / name
        rows[name] = make(MODEL / recipe, run, test, columns, [f"--model={minilm}"])
    write_rows(RESULT, __file__, rows)
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
