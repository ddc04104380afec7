"""Each mistake of a user: one clear line, exit code 1, nothing left behind."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bertedge.cli import main


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["pretrain", *(str(argument) for argument in arguments)])
    return result.exit_code, result.stdout, result.stderr


def refused(tmp_path: Path, *arguments: str | Path) -> str:
    before = sorted(tmp_path.rglob("*"))
    code, stdout, stderr = run("--output", tmp_path / "out", *arguments)
    assert code == 1 and stdout == "" and "Traceback" not in stderr
    assert sorted(tmp_path.rglob("*")) == before
    (line,) = [line for line in stderr.splitlines() if line.startswith("Error: ")]
    return line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n \n", "no words"),
        (b"see\ncaf\xe9\n", ":2"),
        (b"see the\n", "has 6 tokens"),
    ],
)
def test_a_bad_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(content)
    assert message in refused(tmp_path, "--text", text, "--size", "tiny")


def test_a_missing_text_is_refused(tmp_path: Path) -> None:
    assert "--text is missing" in refused(tmp_path, "--size", "tiny")
    line = refused(tmp_path, "--text", tmp_path / "no.txt", "--size", "tiny")
    assert "no.txt does not exist" in line


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give either --model, a base to continue, or --size"),
        (["--model", "a", "--size", "tiny"], "give either --model"),
        (["--size", "huge"], "size is 'huge'; choose one of tiny, mini"),
        (["--size", "2x30x4"], "a hidden size of 30 cannot be shared by 4 heads"),
        (["--size", "tiny", "--minutes", "0"], "minutes is 0.0; it must be above 0"),
        (["--size", "tiny", "--mlm-probability", "1.5"], "mlm_probability is 1.5"),
        (["--size", "tiny", "--next-sentence"], "there is only one"),
    ],
)
def test_a_bad_setting_is_refused(
    tmp_path: Path, text: Path, flags: list[str], message: str
) -> None:
    assert message in refused(tmp_path, "--text", text, *flags)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("see the old red plum, take one grape\n" * 100)
    return path


def test_a_config_file_gives_texts_relative_to_itself_and_the_curve_is_printed(
    tmp_path: Path, text: Path
) -> None:
    settings = tmp_path / "pretrain.toml"
    settings.write_text(
        'text = ["text.txt"]\noutput = "out"\nsize = "1x16x2"\nmax_steps = 4\nmax_length = 16\n'
        "vocab_size = 100\nchecks = 2\n"
    )
    code, stdout, stderr = run("--config", settings)
    assert code == 0, stderr
    assert "perplexity" in stdout and f"base model: {tmp_path / 'out'}" in stdout
    assert "rows to train on" in stderr


def test_the_size_of_a_new_model_is_no_config_file(tmp_path: Path, text: Path) -> None:
    line = refused(tmp_path, "--text", text, "--config", "mini")
    assert line == "Error: --config names a TOML file; for a new model say --size mini"
