"""Each mistake of a user: one clear line, exit code 1, nothing left behind."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from bertedge.cli import main

GOOD = "text,label\nsee the red,color\ntake one plum,fruit\n"


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def refused(tmp_path: Path, *arguments: str | Path) -> str:
    """Run, expect one line and exit code 1 and no new files; return the line."""
    before = sorted(tmp_path.rglob("*"))
    code, stdout, stderr = run(*arguments)
    assert code == 1, (stdout, stderr)
    assert stdout == ""
    lines = [line for line in stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1 and "Traceback" not in stderr
    assert stderr.splitlines()[-1] == lines[0]
    assert sorted(tmp_path.rglob("*")) == before
    return lines[0]


def finetune(tmp_path: Path, base: Path, *more: str | Path) -> tuple[str | Path, ...]:
    return (
        *("finetune", "--task", "text-classification", "--model", base),
        *("--output", tmp_path / "out", *more),
    )


BAD_FILES = {
    "empty file": (b"", "is empty"),
    "header only": (b"text,label\n", "no rows"),
    "missing column": (b"words,kind\na,b\n", "column"),
    "one class": (b"text,label\na,x\nb,x\n", "only the label 'x'"),
    "row without text": (b"text,label\na,x\n,y\n", ":3"),
    "broken utf-8": (b"text,label\na,x\ncaf\xe9,y\n", ":3"),
    "nan label": (b"text,label\na,x\nb,nan\n", ":3"),
    "empty label": (b"text,label\na,x\nb,\n", ":3"),
    "uneven row": (b"text,label\na,x\nb,y,z\n", ":3"),
    "null byte": (b"text,label\na,x\nb\0,y\n", ":3"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_training_file_is_refused(tmp_path: Path, base: Path, name: str) -> None:
    content, message = BAD_FILES[name]
    train = tmp_path / "train.csv"
    train.write_bytes(content)
    line = refused(tmp_path, *finetune(tmp_path, base, "--train", train))
    assert message in line and "train.csv" in line


def test_a_missing_training_file_is_refused(tmp_path: Path, base: Path) -> None:
    line = refused(tmp_path, *finetune(tmp_path, base, "--train", tmp_path / "no.csv"))
    assert "no.csv" in line


def test_a_column_that_is_not_there_is_refused_with_those_that_are(
    tmp_path: Path, base: Path
) -> None:
    train = tmp_path / "train.csv"
    train.write_text(GOOD)
    arguments = finetune(tmp_path, base, "--train", train, "--label-column", "lable")
    line = refused(tmp_path, *arguments)
    assert "'lable'" in line and "label" in line


def test_a_dev_label_that_train_lacks_is_refused(tmp_path: Path, base: Path) -> None:
    train, dev = tmp_path / "train.csv", tmp_path / "dev.csv"
    train.write_text(GOOD)
    dev.write_text("text,label\nsee,metal\n")
    line = refused(tmp_path, *finetune(tmp_path, base, "--train", train, "--dev", dev))
    assert "dev.csv:2" in line and "'metal'" in line


def test_uneven_conll_columns_are_refused(tmp_path: Path, base: Path) -> None:
    train = tmp_path / "train.conll"
    train.write_text("red B-C\nsee\nold O\n")
    arguments = finetune(tmp_path, base, "--train", train, "--task", "token-classification")
    assert "train.conll:2" in refused(tmp_path, *arguments)


@pytest.mark.parametrize("name", ["no weights", "pickle", "another architecture", "not there"])
def test_a_bad_base_is_refused(tmp_path: Path, base: Path, name: str) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base, folder)
    match name:
        case "no weights":
            (folder / "model.safetensors").unlink()
        case "pickle":
            (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        case "another architecture":
            (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
        case "not there":
            shutil.rmtree(folder)
    train = tmp_path / "train.csv"
    train.write_text(GOOD)
    line = refused(tmp_path, *finetune(tmp_path, folder, "--train", train))
    assert str(folder) in line


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--epochs", "0", "epochs is 0.0"),
        ("--max-length", "4000", "max_length is 4000, but"),
        ("--freeze", "9", "freeze is 9, but the model has 2 layers"),
        ("--task", "translation", "task is 'translation'; choose one of"),
        ("--precision", "fp8", "precision is 'fp8'"),
    ],
)
def test_a_bad_setting_is_refused(
    tmp_path: Path, base: Path, flag: str, value: str, message: str
) -> None:
    train = tmp_path / "train.csv"
    train.write_text(GOOD)
    assert message in refused(tmp_path, *finetune(tmp_path, base, "--train", train, flag, value))


def test_an_output_that_cannot_be_made_is_refused(tmp_path: Path, base: Path) -> None:
    train = tmp_path / "train.csv"
    train.write_text(GOOD)
    arguments = finetune(tmp_path, base, "--train", train, "--output", train / "out")
    assert "is not a directory" in refused(tmp_path, *arguments)


def test_unknown_flags_are_usage_errors() -> None:
    assert run("finetune", "--epoch", "3")[0] == 2


def test_the_report_is_printed_and_json_is_one_object(
    tmp_path: Path, base: Path, texts: dict[str, Path]
) -> None:
    data = ("--train", texts["train"], "--dev", texts["dev"], "--learning-rate", "2e-3")
    code, stdout, stderr = run(*finetune(tmp_path, base, *data))
    assert code == 0, stderr
    assert stdout.startswith("accuracy ")
    assert "macro average" in stdout and "gold \\ predicted" in stdout
    assert "text from column 'text'" in stderr
    code, stdout, _ = run(
        "evaluate", tmp_path / "out", "--data", texts["dev"], "--json", "--device", "cpu"
    )
    scores = json.loads(stdout)["scores"]
    assert code == 0 and scores["metric"] == "accuracy" and len(scores["classes"]) == 2
