"""Ten minutes from nothing: pretrain a small Chinese BERT, and see what a classifier gains by it.

usage: python benchmarks/pretrain.py SHARED_DATA WORK [--minutes 10] [--size mini]

The text is mlm_zh and the unlabelled Chinese texts of SHARED_DATA; reviews that are also in
ChnSentiCorp are left out. ChnSentiCorp is then fine-tuned from the pretrained base and from the
same model with random weights, each at every one of RATES; a tenth of the training file chooses
the epoch and the rate, and the public dev file is the test. Writes benchmarks/pretrain.json: the
curve of the held-out perplexity, and both accuracies.
"""

import argparse
import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from data_sets import SETS, find_files
from provenance import provenance
from steps import BERTEDGE, finetune, output_of
from transformers import AutoConfig, AutoTokenizer, BertForMaskedLM

RESULT = Path(__file__).parent / "pretrain.json"
RATES = (1e-4, 3e-4)
REVIEWS = SETS["chnsenticorp_pretrained"]
VOCABULARY = 6000
BATCH_SIZE = 16
"""Small: in ten minutes the number of steps is what is short."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shared", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--size", default="mini")
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    text = write_text(told.shared, told.work / "zh.txt")
    pretrained = told.work / "pretrained"
    record = pretrain(text, pretrained, told.minutes, told.size)
    random = write_random(pretrained, told.work / "random")
    files = find_files(REVIEWS, told.shared, told.work / "chnsenticorp")
    runs = {
        base.name: [classify(files, base, rate) for rate in RATES] for base in (pretrained, random)
    }
    best = {name: max(rows, key=lambda row: row["dev"]) for name, rows in runs.items()}
    result = {
        **provenance(__file__, "torch", "transformers", "tokenizers"),
        "pretraining": {key: record[key] for key in KEPT},
        "set": "chnsenticorp",
        "runs": runs,
        "pretrained": best["pretrained"]["test"],
        "random": best["random"]["test"],
        "points_gained": 100 * (best["pretrained"]["test"] - best["random"]["test"]),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: result[key] for key in ("pretrained", "random", "points_gained")}))


KEPT = (
    *("parameters", "vocabulary", "max_length", "lines", "tokens", "rows", "held_out"),
    *("settings", "steps", "epochs", "seconds", "tokens_per_second", "checks"),
)


def write_text(shared: Path, output: Path) -> Path:
    """Gather all Chinese text without labels: a text a line, a blank line between sources."""
    files = [shared / "chnsenticorp" / f"{split}.tsv.gz" for split in ("train", "dev")]
    labelled = {normal(text) for path in files for text in read_reviews(path)}
    sources = (
        open_text(shared / "mlm_zh" / "laws_zh.txt.gz"),
        open_text(shared / "mlm_zh" / "tidb_docs_zh.txt.gz"),
        (json.loads(x)["sentence"] for x in open_text(shared / "tnews_fewclue/unlabeled.json.gz")),
        contexts(shared / "drcd_zh_hant" / "train.json.gz"),
        (row["review"] for row in shopping(shared / "online_shopping_10_cats/train.csv.gz")),
    )
    with output.open("w", encoding="utf-8") as file:
        for source in sources:
            for text in source:
                line = " ".join(text.split())
                if line and normal(line) not in labelled:
                    file.write(line + "\n")
            file.write("\n")
    return output


def open_text(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from file


def contexts(path: Path) -> Iterator[str]:
    data = json.loads("".join(open_text(path)))["data"]
    return (part["context"] for article in data for part in article["paragraphs"])


def shopping(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def read_reviews(path: Path) -> Iterator[str]:
    return (line.rpartition("\t")[0] for line in open_text(path))


def normal(text: str) -> str:
    """Keep letters and digits alone: the same review may be spaced or punctuated otherwise."""
    return "".join(filter(str.isalnum, text))


def pretrain(text: Path, output: Path, minutes: float, size: str) -> dict[str, object]:
    command = [*BERTEDGE, "pretrain", "--json", "--overwrite"]
    command += ["--text", str(text), "--output", str(output), "--minutes", str(minutes)]
    command += ["--size", size, "--vocab-size", str(VOCABULARY), "--dropout", "0"]
    command += ["--batch-size", str(BATCH_SIZE)]
    return json.loads(output_of(command))


def write_random(pretrained: Path, output: Path) -> Path:
    """Make the same model with random weights."""
    torch.manual_seed(0)
    BertForMaskedLM(AutoConfig.from_pretrained(pretrained)).save_pretrained(output)
    AutoTokenizer.from_pretrained(pretrained).save_pretrained(output)
    return output


def classify(files: dict[str, Path], base: Path, rate: float) -> dict[str, float]:
    """Fine-tune a base on the reviews."""
    output = base.with_name(f"chnsenticorp-{base.name}-{rate:g}")
    found = finetune(REVIEWS, files, base, output, f"--learning-rate={rate}")
    return {
        "learning_rate": rate,
        "epochs": found["epochs"],
        "dev": found["dev"],
        "test": found["value"],
        "seconds": found["seconds"],
    }


if __name__ == "__main__":
    main()
