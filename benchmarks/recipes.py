"""Train, export and score the recipes of models/relation and models/summary, for their cards.

usage: python benchmarks/recipes.py MINILM SHARED_DATA WORK [KEY=VALUE …] [relation|summary …]

KEY=VALUE, such as epochs=0.1, overrides a key of the recipes, to try the program out. Writes
benchmarks/recipes.json; the test data is read here alone.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from end_to_end import score
from finetune_bars import HERE
from provenance import provenance

import bertedge
from bertedge.checkpoint import open_checkpoint
from bertedge.examples import Columns, TextExample, open_examples

MODELS = HERE.parent / "models"
sys.path.insert(0, str(MODELS / "summary"))

from sentences import Document, read_articles  # noqa: E402
from summarize import choose, score_sentences  # noqa: E402

RESULT = HERE / "recipes.json"
BERTEDGE = [sys.executable, "-m", "bertedge"]
COLUMNS = {
    "relation": {"text": "text", "label": "label"},
    "summary": {"text": "sentence", "pair": "document", "label": "label"},
}
LENGTHS = (1, 2, 3)
"""Sentences of a summary."""


def main(arguments: Sequence[str]) -> None:
    flags = [f"--{argument.replace('_', '-')}" for argument in arguments if "=" in argument]
    minilm, shared, folder, *names = [a for a in arguments if "=" not in a]
    squad = [Path(shared) / "squad_v1_subset" / f"{part}.json.gz" for part in ("train", "dev")]
    makers: dict[str, list[str | Path]] = {
        "relation": [MODELS / "relation" / "relations.py", Path(shared) / "atis"],
        "summary": [MODELS / "summary" / "sentences.py", *squad],
    }
    rows = json.loads(RESULT.read_text())["sets"] if RESULT.exists() else {}
    for name in names or makers:
        run, data = Path(folder) / name, Path(folder) / f"{name}-data"
        subprocess.run([sys.executable, *makers[name], data], check=True, stdout=sys.stderr)
        rows[name] = make(name, data, run, [f"--model={minilm}", *flags])
        if name == "summary":
            rows[name]["summaries"] = measure_summaries(run.with_name(f"{name}-bundle"), squad[1])
        record = {
            **provenance(__file__, "torch", "transformers", "onnxruntime", "optimum-onnx"),
            "sets": rows,
        }
        RESULT.write_text(json.dumps(record, indent=2) + "\n")
        print(name, json.dumps(rows[name]), flush=True)


def make(name: str, data: Path, run: Path, flags: Sequence[str]) -> dict[str, object]:
    """Fine-tune, export and score one recipe."""
    (test,) = data.glob("test.*")
    bundle = run.with_name(f"{name}-bundle")
    command = [*BERTEDGE, "finetune", f"--recipe={MODELS / name / 'finetune.toml'}"]
    command += [f"--train={data / f'train{test.suffix}'}", f"--dev={data / f'dev{test.suffix}'}"]
    command += [f"--output={run}", "--overwrite", *flags]
    subprocess.run(command, check=True, stdout=sys.stderr)
    command = [*BERTEDGE, "export", str(run), f"--output={bundle}", "--quantize", "--overwrite"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    checkpoint = open_checkpoint(str(run))
    assert checkpoint.training is not None
    labels = Counter(
        example.label
        for example in open_examples(test, checkpoint.task, Columns(**COLUMNS[name]))
        if isinstance(example, TextExample)
    )
    return {
        **score(run, bundle, test, COLUMNS[name]),
        "commonest": round(max(labels.values()) / labels.total(), 4),
        "training_seconds": round(checkpoint.training.seconds),
    }


def measure_summaries(bundle: Path, squad: Path) -> dict[str, dict[str, float]]:
    """Give the share of questions that summaries answer, by their length and who chose."""
    predictor = bertedge.load(bundle, device="cpu")
    documents = [each for article in read_articles(squad) for each in article]
    longer = [each for each in documents if len(each.sentences) > max(LENGTHS)]
    scores = [score_sentences(predictor, each.text, each.sentences) for each in longer]
    found = {}
    for length in LENGTHS:
        chosen = [choose(own, length) for own in scores]
        best = [choose(each.answered, length) for each in longer]
        lead = [list(range(length))] * len(longer)
        same = sum(own == first for own, first in zip(chosen, lead, strict=True))
        found[str(length)] = {
            "documents": len(longer),
            "model": answered(longer, chosen),
            "lead": answered(longer, lead),
            "random": expected(longer, length),
            "best": answered(longer, best),
            "same_as_lead": round(same / len(longer), 4),
        }
    return found


def answered(documents: Sequence[Document], choices: Sequence[Sequence[int]]) -> float:
    """Give the share of all questions whose answer is in the chosen sentences."""
    pairs = zip(documents, choices, strict=True)
    hits = sum(each.answered[place] for each, places in pairs for place in places)
    return round(hits / sum(sum(each.answered) for each in documents), 4)


def expected(documents: Sequence[Document], length: int) -> float:
    """Give that share for sentences chosen by chance."""
    hits = sum(sum(each.answered) * length / len(each.sentences) for each in documents)
    return round(hits / sum(sum(each.answered) for each in documents), 4)


if __name__ == "__main__":
    main(sys.argv[1:])
