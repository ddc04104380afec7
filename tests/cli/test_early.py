"""A mistake in a file or a flag is told before torch is imported, which takes seconds."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bertedge import serialization
from bertedge.checkpoint import DataFile, Training
from bertedge.data import Columns
from bertedge.spec import ModelSpec, Task

TINY = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
PROGRAM = """
import atexit, sys
atexit.register(lambda: print("heavy:", *{"torch", "transformers"} & set(sys.modules)))
from bertedge.cli import main
main(sys.argv[1:])
"""


@pytest.fixture
def folder(tmp_path: Path, training_record: Callable[..., Training]) -> Path:
    """Good data, data with a mistake, and a checkpoint of which only our record is there."""
    (tmp_path / "good.csv").write_text("text,label\n" + "a,x\nb,y\n" * 5)
    (tmp_path / "other.csv").write_text("wort,zeichen\na,x\nb,y\n")
    (tmp_path / "latin.csv").write_bytes("text,label\ngrün,x\n".encode("cp1252"))
    (tmp_path / "empty.csv").write_text("text,label\n")
    file = DataFile(path="good.csv", sha256="0" * 64, rows=10, columns=Columns(text="text"))
    model = ModelSpec(
        task=Task.TEXT_CLASSIFICATION,
        labels=("x", "y"),
        pair=False,
        max_length=16,
        pad_token_id=0,
    )
    training = training_record(model, file)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "training.json").write_text(serialization.to_json(training))
    return tmp_path


VERBS = {
    "finetune": ("finetune", "--train", "DATA", "--model", "base", "--output", "out"),
    "dev": ("finetune", "--train", "good.csv", "--dev", "DATA", "--model", "b", "--output", "out"),
    "evaluate": ("evaluate", "m", "--data", "DATA"),
    "export": ("export", "m", "--output", "out", "--eval-data", "DATA"),
    "bench": ("bench", str(TINY), "--baseline", "m", "--data", "DATA"),
    "predict": ("predict", str(TINY), "--input", "DATA"),
}


def told(folder: Path, *arguments: str) -> str:
    """Run the command line; return its one line of an error, told without torch."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=folder, capture_output=True, text=True
    )
    assert run.returncode == 1, run.stderr
    assert run.stdout == "heavy:\n"
    lines = [line for line in run.stderr.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in run.stderr and len(lines) == 1, run.stderr
    assert not (folder / "out").exists()
    return lines[0]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("data", "flags", "message"),
    [
        ("goood.csv", (), "goood.csv does not exist; did you mean good.csv?"),
        ("latin.csv", (), "latin.csv:2: byte 0xfc"),
        ("good.csv", ("--text-column", "satz"), "there is no column 'satz'; found 'text', 'label'"),
        ("good.csv", ("--encoding", "nope"), "--encoding 'nope' is unknown"),
        ("empty.csv", (), "empty.csv has a header but no rows"),
    ],
)
def test_a_mistake_in_a_file_is_told_before_torch_is_imported(
    folder: Path, verb: str, data: str, flags: tuple[str, ...], message: str
) -> None:
    arguments = [data if each == "DATA" else each for each in VERBS[verb]]
    assert message in told(folder, *arguments, *flags)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("finetune", "--train", "good.csv", "--model", "b", "--output", "m"), "m exists"),
        ((*VERBS["finetune"], "--epochs", "-1"), "epochs is -1"),
        ((*VERBS["finetune"], "--task", "nope"), "task is 'nope'"),
        (("finetune", "--train", "nothing.txt", "--model", "b", "--output", "o"), "nothing.txt"),
        (("pretrain", "--text", "no.txt", "--size", "tiny", "--output", "o"), "no.txt does not"),
        (("pretrain", "--text", "good.csv", "--size", "vast", "--output", "o"), "vast"),
        (("export", "m", "--output", "o", "--opset", "3"), "opset is 3; choose one of 17, 18"),
        (("export", "m", "--output", "m"), "m is the input m"),
        (("export", "m", "--output", "o", "--trim-vocab", "no.txt"), "no.txt does not exist"),
        (("evaluate", "m", "--data", "good.csv", "--task", "nope"), "--task is 'nope'"),
        (("evaluate", "m", "--data", "good.csv", "--variant", "v"), "--variant is for bundles"),
    ],
)
def test_a_mistake_in_a_flag_is_told_before_torch_is_imported(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    arguments = tuple("good.csv" if each == "DATA" else each for each in arguments)
    assert message in told(folder, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("finetune", "--train", "good.csv", "--model", "MODEL", "--output", "out"),
        ("finetune", "--train", "good.csv", "--teacher", "MODEL", "--output", "out"),
        ("pretrain", "--text", "good.csv", "--model", "MODEL", "--output", "out"),
        ("evaluate", "MODEL", "--data", "good.csv"),
        ("export", "MODEL", "--output", "out"),
        ("bench", str(TINY), "--baseline", "MODEL"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("./models", "models does not exist; did you mean"),
        ("m/", "is no checkpoint: it has no config.json"),
        ("good.csv", "good.csv is a file; give the checkpoint's directory"),
        ("x" * 5000, "does not exist"),
        ("bert-base-uncasde", "did you mean bert-base-uncased?"),
        ("weights", "holds its weights as a pickle"),
    ],
)
def test_a_mistake_in_a_checkpoints_name_is_told_before_torch_is_imported(
    folder: Path, arguments: tuple[str, ...], model: str, message: str
) -> None:
    (folder / "model").mkdir()
    (folder / "weights").mkdir()
    (folder / "weights" / "pytorch_model.bin").touch()
    said = told(folder, *(model if each == "MODEL" else each for each in arguments))
    assert message in said
    assert len(said) <= len("Error: ") + 300
