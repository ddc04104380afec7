"""The whole way on real data with a real base model: what scripts/quickstart does, in small."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import bertedge
from bertedge.cli import main

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def minilm() -> Path:
    script = REPOSITORY / "scripts" / "fetch_minilm.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no MiniLM: {done.stderr.strip().splitlines()[-1]}")
    return Path(done.stdout.strip())


def verb(*arguments: str | Path) -> str:
    done = CliRunner().invoke(main, [*map(str, arguments)])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def head(path: Path, rows: int, output: Path) -> Path:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        lines = [line for _, line in zip(range(rows + 1), file, strict=False)]
    output.write_text("".join(lines), encoding="utf-8")
    return output


def find(folder: Path, stem: str) -> Path:
    return next(iter(sorted(folder.glob(f"{stem}*"))))


@pytest.mark.slow
@pytest.mark.shared
def test_sentiment_from_labelled_file_to_labels(
    minilm: Path, shared_data: Path, tmp_path: Path
) -> None:
    train = head(find(shared_data / "sst2", "train"), 1500, tmp_path / "train.tsv")
    dev = head(find(shared_data / "sst2", "dev"), 400, tmp_path / "dev.tsv")
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    verb(
        *("finetune", "--task", "text-classification", "--train", train, "--dev", dev),
        *("--model", minilm, "--output", run, "--epochs", "1", "--learning-rate", "2e-4"),
    )
    report = json.loads(
        verb("export", run, "--output", bundle, "--quantize", "--max-drop", "3", "--json")
    )
    accuracy = report["manifest"]["variants"][0]["accuracy"]
    assert accuracy["rows"] == 400 and accuracy["metric"] == "accuracy"
    assert accuracy["checkpoint"] >= 0.75
    assert accuracy["agreement"] >= 0.95
    test = find(shared_data / "sst2", "test")
    scores = json.loads(verb("evaluate", bundle, "--data", test, "--json"))
    assert scores["rows"] == 872 and scores["scores"]["value"] >= 0.75
    first, second = bertedge.load(bundle).predict(["a wonderful film", "dull and far too long"])
    assert (first.label, second.label) == ("1", "0")


@pytest.mark.slow
@pytest.mark.shared
def test_chinese_entities_from_labelled_file_to_labels(shared_data: Path, tmp_path: Path) -> None:
    base, run, bundle = tmp_path / "base", tmp_path / "run", tmp_path / "bundle"
    script = REPOSITORY / "benchmarks" / "random_base.py"
    vocabulary = shared_data / "vocab" / "bert-base-chinese" / "vocab.txt"
    subprocess.run([sys.executable, script, vocabulary, base, "2", "64"], check=True)
    test = find(shared_data / "msra_ner", "dev")
    verb(
        *("finetune", "--task", "token-classification", "--train", test, "--model", base),
        *("--output", run, "--epochs", "1", "--max-length", "128", "--learning-rate", "1e-3"),
    )
    verb("export", run, "--output", bundle)
    scores = json.loads(verb("evaluate", bundle, "--data", test, "--json"))["scores"]
    assert scores["metric"] == "entity_f1" and scores["accuracy"] > 0.8
    predictor = bertedge.load(bundle)
    text = "我在北京大学见到了张伟，他明天去上海。🙂"
    for entity in predictor.predict_one(text).entities:
        assert text[entity.start : entity.end] == entity.text
