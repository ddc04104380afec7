import gzip
import json
import os
import select
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bertedge.bundle import open_bundle, write_bundle
from bertedge.cli import main
from bertedge.spec import DecisionRule, ProblemType

TINY = Path(__file__).parents[2] / "models" / "tiny"
TEXTS = str(TINY / "text-classification")
TOKENS = str(TINY / "token-classification")
INTENTS = str(TINY / "intent-slots")


def run(*arguments: object, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, arguments)], input=stdin)


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.split("\n") if line]


def error(result: Result) -> str:
    """The one line of a run that ended with a user's mistake."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    manifest = open_bundle(Path(TEXTS)).manifest
    manifest = replace(manifest, model=replace(manifest.model, pair=True))
    files = [Path(TEXTS) / name for name in ("tokenizer.json", "cpu-fp32.onnx")]
    write_bundle(tmp_path / "pairs", manifest, files, overwrite=False)
    return str(tmp_path / "pairs")


def test_texts_of_the_command_line_are_labelled() -> None:
    (one, empty) = rows(run(TEXTS, "turn the lights off", ""))
    assert list(one) == ["text", "label", "score", "scores", "truncated"]
    assert one["text"] == "turn the lights off"
    assert one["score"] == max(one["scores"].values()) == one["scores"][one["label"]]
    assert empty["text"] == "" and empty["label"]


def test_entities_carry_their_place() -> None:
    text = "Kälter in the 🙂 bedroom"
    (row,) = rows(run(TOKENS, "--aggregation", "none", text))
    assert row["windows"] == 1 and row["entities"]
    for entity in row["entities"]:
        assert list(entity) == ["label", "score", "start", "end", "text"]
        assert text[entity["start"] : entity["end"]] == entity["text"]


def test_an_intent_has_its_slots_beside_it() -> None:
    text = "turn the hall lights off"
    (row,) = rows(run(INTENTS, text))
    assert list(row) == ["text", "intent", "score", "scores", "slots", "windows"]
    assert row["score"] == row["scores"][row["intent"]] == max(row["scores"].values())
    assert row["slots"]
    for slot in row["slots"]:
        assert text[slot["start"] : slot["end"]] == slot["text"]


def test_each_line_of_a_file_gives_a_line(tmp_path: Path) -> None:
    text = "turn it\toff\n\n  \nlast \u2028 line\r\nno newline 日本"
    expected = ["turn it\toff", "", "  ", "last \u2028 line", "no newline 日本"]
    (tmp_path / "said.txt").write_text(text, encoding="utf-8", newline="")
    (tmp_path / "said.log.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("said.txt", "said.log.gz"):
        assert [row["text"] for row in rows(run(TEXTS, "--input", tmp_path / name))] == expected
    assert [
        row["text"] for row in rows(run(TEXTS, "--input", "-", stdin=text.encode()))
    ] == expected


def test_json_lines_are_strings_or_objects(tmp_path: Path) -> None:
    (tmp_path / "strings.jsonl").write_text('"one"\n\n"two \\ud83d"\n')
    found = run(TEXTS, "--input", tmp_path / "strings.jsonl")
    assert [row["text"] for row in rows(found)] == ["one", "two \ud83d"]
    (tmp_path / "objects.jsonl").write_text('{"id": 1, "sentence": "one"}\n{"sentence": "two"}\n')
    found = run(TEXTS, "--input", tmp_path / "objects.jsonl")
    assert [row["text"] for row in rows(found)] == ["one", "two"]
    found = run(TEXTS, "--input", "-", "--format", "jsonl", stdin='"one"\n{"text": "two"}\n')
    assert [row["text"] for row in rows(found)] == ["one", "two"]
    options = ("--format", "jsonl", "--text-column", "q")
    found = run(TEXTS, "--input", "-", *options, stdin='{"q": "one"}\n')
    assert [row["text"] for row in rows(found)] == ["one"]


def test_columns_of_csv_and_tsv_are_found_or_named(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text('id,text,label\n1,"turn it, off",x\n2,on,y\n')
    (tmp_path / "some.tsv").write_text("id\tsaid\n1\tturn it off\n2\ton\n")
    found = run(TEXTS, "--input", tmp_path / "some.csv")
    assert [row["text"] for row in rows(found)] == ["turn it, off", "on"]
    assert "text from column 'text'" in found.stderr
    found = run(TOKENS, "--input", tmp_path / "some.tsv", "--text-column", "said")
    assert [row["text"] for row in rows(found)] == ["turn it off", "on"]


def test_pairs_come_two_by_two_by_tab_or_by_columns(pairs: str, tmp_path: Path) -> None:
    (by_arguments,) = rows(run(pairs, "first text", "second text"))
    assert (by_arguments["text"], by_arguments["pair"]) == ("first text", "second text")
    tabs = tmp_path / "some.txt"
    tabs.write_text("first text\tsecond text\n")
    columns = tmp_path / "some.csv"
    columns.write_text("text1,text2\nfirst text,second text\n")
    lists = tmp_path / "some.jsonl"
    lists.write_text('["first text", "second text"]\n')
    named = ("--text-column", "text1", "--pair-column", "text2")
    for options in [(tabs,), (columns, *named), (lists,)]:
        assert rows(run(pairs, "--input", *options)) == [by_arguments]
    assert "3 texts are not pairs" in error(run(pairs, "a", "b", "c"))
    tabs.write_text("a\tb\nc\n")
    assert "some.txt:2: there are 0 TABs" in error(run(pairs, "--input", tabs))
    lists.write_text('["a"]\n')
    assert "needs 2 texts a line" in error(run(pairs, "--input", lists))


def test_an_output_file_is_whole_or_absent(tmp_path: Path) -> None:
    source, output = tmp_path / "said.txt", tmp_path / "labels.jsonl"
    source.write_text("on\noff\n")
    found = run(TEXTS, "--input", source, "--output", output)
    assert (found.exit_code, found.stdout) == (0, "")
    assert "predicting: 2 texts" in found.stderr
    assert [json.loads(line)["text"] for line in output.read_text().splitlines()] == ["on", "off"]
    assert "exists already" in error(run(TEXTS, "--input", source, "--output", output))
    source.write_bytes(b"on\noff\n\xff\n")
    found = run(TEXTS, "--input", source, "--output", output, "--overwrite", "--chunk", "1")
    assert "said.txt:3: byte 0xff" in found.stderr and found.exit_code == 1
    assert len(output.read_text().splitlines()) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.jsonl", "said.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "on"), "nowhere is not a directory"),
        ((TEXTS, "on", "--device", "cuda"), "has no variant for device cuda"),
        ((TEXTS, "on", "--variant", "cpu-int8"), "has no variant 'cpu-int8'"),
        ((TEXTS, "on", "--aggregation", "max"), "this model labels whole texts"),
        ((TEXTS, "--input", "nowhere.txt"), "nowhere.txt does not exist"),
        ((TEXTS, "--input", "-", "--format", "csv"), "standard input cannot be"),
        ((TEXTS, "on", "--output", "/dev/null/x"), "/dev/null is not a directory"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], message: str) -> None:
    assert message in error(run(*arguments))


def test_standard_input_that_is_no_text_names_the_line() -> None:
    assert "standard input:1: byte 0xe4 is not UTF-8" in error(
        run(TEXTS, "--input", "-", stdin=b"k\xe4lter\n")
    )
    found = run(TEXTS, "--input", "-", "--format", "jsonl", stdin='{"a": 1}\n')
    assert "standard input:1: this model needs 1 text a line" in error(found)
    assert "standard input:1: this line is not JSON" in error(
        run(TEXTS, "--input", "-", "--format", "jsonl", stdin="{'a'}\n")
    )


def test_texts_and_a_file_exclude_each_other() -> None:
    for arguments in [(TEXTS,), (TEXTS, "on", "--input", "-")]:
        found = run(*arguments)
        assert found.exit_code == 2 and "either texts or --input" in found.stderr


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bertedge", "predict", TEXTS, *arguments]


def test_a_reader_that_has_seen_enough_ends_it_quietly() -> None:
    process = subprocess.Popen(
        program("--input", "-", "--chunk", "1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(b"on\n")
    process.stdin.flush()
    (ready, _, _) = select.select([process.stdout], [], [], 120)
    if not ready:
        process.kill()
    assert ready, "the first line is answered before the second is there"
    assert json.loads(process.stdout.readline())["text"] == "on"
    process.stdout.close()
    process.stdin.write(b"off\n" * 100)
    process.stdin.close()
    assert b"Traceback" not in process.stderr.read()
    process.wait(timeout=120)
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        found = subprocess.run(program("on"), stdout=full, stderr=subprocess.PIPE, check=False)
    assert found.returncode == 1
    assert found.stderr.decode().startswith("Error: standard output could not be written: no space")
    assert len(found.stderr.splitlines()) == 1
    found = subprocess.run(
        program("on", "--output", "/dev/full"), stderr=subprocess.PIPE, check=False
    )
    assert found.returncode == 1 and b"disk is full" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_output_is_utf8_whatever_the_locale() -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = subprocess.run(
        program("--input", "-"),
        input="kälter 日本".encode(),
        env=environment,
        capture_output=True,
        check=True,
    )
    assert json.loads(found.stdout.decode("utf-8"))["text"] == "kälter 日本"


def test_a_bundle_with_a_flipped_byte_is_refused(tmp_path: Path) -> None:
    shutil.copytree(TEXTS, tmp_path / "bundle")
    path = tmp_path / "bundle" / "cpu-fp32.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "cpu-fp32.onnx does not have the SHA-256" in error(run(tmp_path / "bundle", "on"))


def decided(folder: Path, decision: DecisionRule) -> str:
    """The tiny classifier, with its logits read another way."""
    manifest = open_bundle(Path(TEXTS)).manifest
    manifest = replace(manifest, model=replace(manifest.model, rule=decision))
    files = [Path(TEXTS) / name for name in ("tokenizer.json", "cpu-fp32.onnx")]
    write_bundle(folder / "decided", manifest, files, overwrite=False)
    return str(folder / "decided")


def test_several_labels_are_printed_best_first(tmp_path: Path) -> None:
    decision = DecisionRule(problem_type=ProblemType.MULTI_LABEL, threshold=0.01)
    (row,) = rows(run(decided(tmp_path, decision), "turn the lights off"))
    assert list(row) == ["text", "labels", "scores", "truncated"]
    assert row["labels"] == [
        label
        for label in sorted(row["scores"], key=lambda x: -row["scores"][x])
        if row["scores"][label] >= 0.01
    ]


def test_a_low_score_is_out_of_scope(tmp_path: Path) -> None:
    (plain,) = rows(run(TEXTS, "turn the lights off"))
    decision = DecisionRule(threshold=1.0, out_of_scope="oos")
    (row,) = rows(run(decided(tmp_path, decision), "turn the lights off"))
    assert row == plain | {"label": "oos"}


def test_what_a_bundle_decides_by_is_shown(tmp_path: Path) -> None:
    decision = DecisionRule(temperature=1.5, threshold=0.25, out_of_scope="oos")
    shown = CliRunner().invoke(main, ["inspect", decided(tmp_path, decision)])
    assert shown.exit_code == 0
    assert (
        "decides    single_label_classification, temperature 1.5, "
        "a label needs a score of 0.25, else 'oos'" in shown.stdout
    )
    assert "decides" not in CliRunner().invoke(main, ["inspect", TEXTS]).stdout


def test_a_calibrated_bundle_says_its_error_with_and_without(tmp_path: Path) -> None:
    bundle = decided(tmp_path, DecisionRule(temperature=2.0, threshold=0.9, out_of_scope="oos"))
    labels = open_bundle(Path(bundle)).manifest.model.labels
    data = tmp_path / "data.csv"
    lines = [f"turn the lights off,{label}" for label in (*labels, "oos")]
    data.write_text("\n".join(["text,label", *lines]) + "\n")
    command = ["evaluate", bundle, "--data", str(data)]
    said = CliRunner().invoke(main, command)
    assert said.exit_code == 0, said.output
    assert "expected calibration error 0." in said.stdout and "at temperature 2, 0." in said.stdout
    facts = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    assert facts["calibration"]["temperature"] == 2.0
    assert [row["label"] for row in facts["scores"]["classes"]] == [*labels, "oos"]
