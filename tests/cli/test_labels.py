"""Labels that are not the model's, and files with many faults, through the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bertedge.bundle import open_bundle
from bertedge.cli import main

TINY = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
LABELS = open_bundle(TINY).manifest.model.labels
TEXTS = ["turn the lights off", "play music", "it is cold", "stop"] * 3


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def table(path: Path, labels: list[str]) -> Path:
    rows = [f"{text},{label}" for text, label in zip(TEXTS, labels, strict=False)]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


def scores(result: Result) -> object:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)["scores"]


@pytest.mark.parametrize("prefix", ["", "LABEL_"])
def test_ids_are_scored_as_names_are_and_that_is_said(tmp_path: Path, prefix: str) -> None:
    numbers = [i % len(LABELS) for i in range(len(TEXTS))]
    named = table(tmp_path / "named.csv", [LABELS[i] for i in numbers])
    by_id = table(tmp_path / "ids.csv", [f"{prefix}{i}" for i in numbers])
    result = run("evaluate", TINY, "--data", by_id, "--json")
    assert scores(result) == scores(run("evaluate", TINY, "--data", named, "--json"))
    said = [line for line in result.stderr.splitlines() if "ids of the model's labels" in line]
    assert len(said) == 1 and f"{prefix}0 is {LABELS[0]!r}" in said[0]


def test_a_label_map_names_the_models_labels(tmp_path: Path) -> None:
    named = table(tmp_path / "named.csv", [LABELS[i % 4] for i in range(len(TEXTS))])
    other = table(tmp_path / "other.csv", [f"name {i % 4}" for i in range(len(TEXTS))])
    names = tmp_path / "map.json"
    names.write_text(json.dumps({f"name {i}": label for i, label in enumerate(LABELS)}))
    result = run("evaluate", TINY, "--data", other, "--label-map", names, "--json")
    assert scores(result) == scores(run("evaluate", TINY, "--data", named, "--json"))


def test_all_unknown_labels_are_one_message(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", [LABELS[0], "nope", "nein", "nope"])
    result = run("evaluate", TINY, "--data", path)
    assert result.exit_code == 1 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "does not know 2 labels 'nope' (2), 'nein' (1); its 4 are lights, music" in line
    assert "--label-map FILE" in line


def test_all_faults_of_a_file_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    good = [f"{TEXTS[0]},{LABELS[0]}"] * 3
    path.write_text("\n".join(["text,label", *good, *[",x", "a,", "a,b,c", '" ",'] * 8]) + "\n")
    result = run("evaluate", TINY, "--data", path)
    assert result.exit_code == 1 and result.stdout == ""
    head, *rest = result.stderr.splitlines()
    assert head.startswith("Error: ") and "32 bad rows (the first 20 follow)" in head
    assert [int(line.split("a.csv:")[1].split(":")[0]) for line in rest] == list(range(5, 25))
    assert all(len(line) <= 300 for line in (head, *rest))
    skipped = run("evaluate", TINY, "--data", path, "--bad-rows", "skip")
    assert skipped.exit_code == 0 and "32 bad rows left out" in skipped.stderr


@pytest.mark.parametrize("file", ["train", "dev"])
def test_finetune_lists_them_too(tmp_path: Path, file: str) -> None:
    good = table(tmp_path / "good.csv", ["x", "y"] * 6)
    bad = table(tmp_path / "bad.csv", ["x", "", "y", ""])
    files = {"train": good, "dev": good} | {file: bad}
    flags = [item for name, path in files.items() for item in (f"--{name}", path)]
    result = run("finetune", *flags, "--model", "base", "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "bad.csv has 2 bad rows" in result.stderr
    assert [line.split("bad.csv:")[1][0] for line in result.stderr.splitlines()[-2:]] == ["3", "5"]
    assert not (tmp_path / "out").exists()


def test_finetune_points_out_labels_and_trains_on_their_new_names(
    base: Path, tmp_path: Path
) -> None:
    train = table(tmp_path / "train.csv", ["Lob", "lob", "Frage", "Fragee"] * 3)
    names = tmp_path / "map.csv"
    names.write_text("lob,Lob\nFragee,Frage\n")
    flags = ["--model", base, "--train", train, "--dev", train, "--epochs", "1"]
    result = run("finetune", *flags, "--output", tmp_path / "plain", "--json")
    assert result.exit_code == 0, result.stderr
    assert len(json.loads(result.stdout)["model"]["labels"]) == 4
    assert "nearly equal: 'Lob' and 'lob', 'Frage' and 'Fragee'" in result.stderr
    flags += ["--label-map", str(names)]
    result = run("finetune", *flags, "--output", tmp_path / "mapped", "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["model"]["labels"] == ["Frage", "Lob"]
    assert record["dev"]["label_map"] == {"lob": "Lob", "Fragee": "Frage"}
    assert "nearly equal" not in result.stderr


def test_numbers_with_decimals_hint_at_regression(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", ["1.5", "2", "3.25", "4"] * 3)
    flags = ["--model", tmp_path / "none", "--train", train, "--output", tmp_path / "out"]
    from bertedge.finetune.data import open_data, read_config

    plain = {
        name.strip("-"): str(value) for name, value in zip(flags[::2], flags[1::2], strict=True)
    }
    assert "--problem-type regression" in " ".join(open_data(read_config(None, plain)).hints)
    whole = table(tmp_path / "train.csv", ["1", "2", "3", "4"] * 3)
    data = open_data(read_config(None, {**plain, "train": str(whole), "dev_share": 0.0}))
    assert not any("regression" in hint for hint in data.hints)
