"""Whether labels that are wrong stand first among those that `report` lists.

usage: python benchmarks/label_errors.py EMBEDDER DATA ...   (bundle of embeddings; labelled files)

A tenth of the labels of each file, of up to 3,000 rows, is changed to another label by lot, by
three seeds. A logistic regression on the embeddings gives cross-validated probabilities, and the
labels are ranked as `bertedge report --embedder` ranks them. Recorded is the share of the changed
labels among the first tenth of the list, in label_errors.json.
"""

import json
import sys
from pathlib import Path

import numpy as np
from provenance import provenance

from bertedge.data import open_examples
from bertedge.predictor import Predictor
from bertedge.report.label_errors import cross_validated, rank_labels
from bertedge.spec import Task

OUTPUT = Path(__file__).with_suffix(".json")
ROWS, SHARE, SEEDS = 3000, 0.1, (0, 1, 2)


def main() -> None:
    embedder, *files = sys.argv[1:]
    predictor = Predictor.open(embedder, task="feature-extraction")
    sets = {Path(file).parent.name: measure(predictor, Path(file)) for file in files}
    packages = ("cleanlab", "scikit-learn", "onnxruntime")
    record = {"sets": sets, **provenance(__file__, *packages)}
    OUTPUT.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def measure(predictor: Predictor, file: Path) -> dict[str, object]:
    examples = list(open_examples(file, Task.TEXT_CLASSIFICATION))
    drawn = np.random.default_rng(0).permutation(len(examples))[:ROWS]
    texts = [examples[i].text for i in drawn]
    names, gold = np.unique([examples[i].label for i in drawn], return_inverse=True)
    vectors = predictor.embed(texts)
    found = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        flipped = rng.choice(len(gold), round(SHARE * len(gold)), replace=False)
        noisy = gold.copy()
        noisy[flipped] = (gold[flipped] + rng.integers(1, len(names), len(flipped))) % len(names)
        ranked = rank_labels(noisy, cross_validated(vectors, noisy, len(names), seed))
        first = set(ranked.order[: len(flipped)].tolist())
        found.append(len(first & set(flipped.tolist())) / len(flipped))
        print(f"{file.parent.name}, seed {seed}: {found[-1]:.3f}, {ranked.count} taken for wrong")
    return {"rows": len(gold), "labels": len(names), "found": found}


if __name__ == "__main__":
    main()
