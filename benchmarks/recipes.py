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

from data_sets import HERE
from steps import bundle_of, make, read_rows, write_rows

import bertedge
from bertedge.data import Columns, TextExample, open_examples
from bertedge.spec import Task

MODELS = HERE.parent / "models"
sys.path.insert(0, str(MODELS / "summary"))

from sentences import Document, read_articles  # noqa: E402
from summarize import choose, score_sentences  # noqa: E402

RESULT = HERE / "recipes.json"
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
    rows = read_rows(RESULT)
    for name in names or makers:
        run, data = Path(folder) / name, Path(folder) / f"{name}-data"
        subprocess.run([sys.executable, *makers[name], data], check=True, stdout=sys.stderr)
        (test,) = data.glob("test.*")
        files = [f"--{split}={data / split}{test.suffix}" for split in ("train", "dev")]
        recipe = MODELS / name / "finetune.toml"
        told = [f"--model={minilm}", *files, *flags]
        rows[name] = make(recipe, run, test, COLUMNS[name], told)
        rows[name]["commonest"] = commonest(test, COLUMNS[name])
        if name == "summary":
            rows[name]["summaries"] = measure_summaries(bundle_of(run), squad[1])
        write_rows(RESULT, __file__, rows)
        print(name, json.dumps(rows[name]), flush=True)


def commonest(test: Path, columns: dict[str, str]) -> float:
    """Give the share of the commonest label: what one reaches without a model."""
    examples = open_examples(test, Task.TEXT_CLASSIFICATION, Columns(**columns))
    labels = Counter(example.label for example in examples if isinstance(example, TextExample))
    return round(max(labels.values()) / labels.total(), 4)


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
