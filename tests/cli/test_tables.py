"""The tables that people have, such as Excel saves them, through the command line."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bertedge.bundle import open_bundle, write_bundle
from bertedge.cli import main
from bertedge.data import Columns

TINY = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
TEXTS = ["turn the lights off", "play music; please, now", "is it cold in the hall?", "stop"]
TRAINED = Columns(text="Anliegen", label="Ziel", separator=";", header=True, format="csv")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A bundle that remembers the columns it was trained on."""
    manifest = replace(open_bundle(TINY).manifest, columns=TRAINED)
    files = [TINY / name for name in ("tokenizer.json", "cpu-fp32.onnx")]
    write_bundle(tmp_path / "bundle", manifest, files, overwrite=False)
    return tmp_path / "bundle"


def table(path: Path, header: str, separator: str, encoding: str = "utf-8") -> Path:
    lines = [header.replace(",", separator)] if header else []
    lines += [f'"{text}"{separator}{label}' for text, label in zip(TEXTS, "xyxy", strict=True)]
    path.write_bytes("\r\n".join([*lines, ""]).encode(encoding))
    return path


@pytest.mark.parametrize("separator", [";", "\t", ",", "|"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_predict_reads_the_texts_of_any_table_and_says_how(
    tmp_path: Path, separator: str, encoding: str
) -> None:
    path = table(tmp_path / "a.csv", "text,label", separator, encoding)
    result = run("predict", TINY, "--input", path)
    assert [row["text"] for row in rows(result)] == TEXTS
    first = result.stderr.splitlines()[0]
    assert first.startswith("text from column 'text'")
    assert ("columns are separated by" in first) == (separator != ",")


@pytest.mark.parametrize("separator", [";", "\t", ","])
@pytest.mark.parametrize("header", ["Anliegen,Ziel", "text,label", ""])
def test_a_bundle_remembers_the_columns_of_its_training(
    trained: Path, tmp_path: Path, header: str, separator: str
) -> None:
    path = table(tmp_path / "a.csv", header, separator)
    result = run("predict", trained, "--input", path)
    assert [row["text"] for row in rows(result)] == TEXTS
    assert ("not the columns of the training" in result.stderr) == (header != "Anliegen,Ziel")


def test_a_workbook_is_predicted_and_evaluated(write_workbook, trained: Path) -> None:
    labels = open_bundle(TINY).manifest.model.labels
    cells = [["Nr", "Anliegen", "Ziel"]]
    cells += [[str(i), text, labels[i]] for i, text in enumerate(TEXTS)]
    path = write_workbook("a.xlsx", {"leer": [], "Tabelle 2": cells})
    result = run("predict", trained, "--input", path, "--sheet", "Tabelle 2")
    assert [row["text"] for row in rows(result)] == TEXTS
    result = run("evaluate", trained, "--data", path, "--sheet", "Tabelle 2", "--json")
    assert json.loads(result.stdout)["rows"] == len(TEXTS)


def test_lines_of_texts_may_have_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Größe\nZweite\n".encode("cp1252"))
    failed = run("predict", TINY, "--input", path)
    assert failed.exit_code == 1 and "--encoding cp1252" in failed.stderr
    found = rows(run("predict", TINY, "--input", path, "--encoding", "cp1252"))
    assert [row["text"] for row in found] == ["Größe", "Zweite"]
    path.write_bytes("Größe\nZweite\n".encode("utf-16"))
    assert [row["text"] for row in rows(run("predict", TINY, "--input", path))] == [
        "Größe",
        "Zweite",
    ]


def test_a_table_called_txt_is_known_by_the_trainings_column(trained: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "export.txt", "Anliegen,Ziel", "\t", "utf-16")
    result = run("predict", trained, "--input", path)
    assert [row["text"] for row in rows(result)] == TEXTS
    assert result.stderr.startswith("text from column 'Anliegen'")
    plain = tmp_path / "plain.txt"
    plain.write_text("Anliegen\nZiel; stop\n")
    found = rows(run("predict", trained, "--input", plain))
    assert [row["text"] for row in found] == ["Anliegen", "Ziel; stop"]


@pytest.mark.parametrize(
    "flags", [("--text-column", "b"), ("--separator", "tab", "--text-column", "1")]
)
def test_options_of_columns_make_a_table_of_any_name(tmp_path: Path, flags: tuple[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a\tb\nx\tstop\n")
    found = [row["text"] for row in rows(run("predict", TINY, "--input", path, *flags))]
    assert found[-1] == "stop" and "x\tstop" not in found
    failed = CliRunner().invoke(main, ["predict", str(TINY), "--input", "-", *flags], input="a\n")
    assert failed.exit_code == 1 and "standard input" in failed.stderr


def test_keys_of_the_training_are_those_of_standard_input(trained: Path) -> None:
    lines = '{"text": "f", "Anliegen": "r"}\n{"text": "t"}\n"s"\n'
    result = CliRunner().invoke(
        main, ["predict", str(trained), "--input", "-", "--format", "jsonl"], input=lines
    )
    assert [row["text"] for row in rows(result)] == ["r", "t", "s"]
