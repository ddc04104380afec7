"""`--bad-rows` of the verbs that read labelled files."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bertedge.cli import main

TINY = Path(__file__).parents[2] / "models" / "tiny"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_evaluate_leaves_bad_rows_out_and_says_how_many(tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    data.write_text("text,label\nlights on,lights\n,music\nplay,music\nhot\n")
    refused = run("evaluate", TINY / "text-classification", "--data", data)
    assert refused.exit_code == 1 and f"{data}:3: the text is empty" in refused.stderr
    command = ("evaluate", TINY / "text-classification", "--data", data, "--bad-rows", "skip")
    done = run(*command, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 2
    assert f"2 bad rows left out, the first: {data}:3: the text is empty" in done.stderr


@pytest.mark.parametrize("verb", ["finetune", "pretrain"])
def test_a_config_file_says_it_too(verb: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('bad_rows = "maybe"\n')
    tasks = ("--task", "text-classification", "--train", "a")
    flags = {"finetune": tasks, "pretrain": ("--text", "a")}[verb]
    result = run(verb, "--config", config, *flags, "--output", tmp_path / "out", "--model", "b")
    assert result.exit_code == 1
    assert "bad_rows is 'maybe'; choose one of error, skip" in result.stderr
