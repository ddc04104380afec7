"""A mistake in a file or a flag is told before torch is imported, which takes seconds."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bertedge import serialization
from bertedge.checkpoint import DataFile, Training
from bertedge.data import Columns
from bertedge.spec import ModelSpec, Task

TINY = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
PROGRAM = """
import json, os, sys
import numpy
from bertedge.cli import main
for line in sys.stdin:
    folder, output, arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(f"{output}/{name}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
        try:
            main(arguments)
        except SystemExit as end:
            print("heavy:", *{"torch", "transformers"} & set(sys.modules), flush=True)
            os._exit(end.code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs command lines, each in a process forked from one that has imported what all of them do."""

Tell = Callable[..., str]


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


@pytest.fixture(scope="module")
def forking() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.communicate()


@pytest.fixture
def told(
    forking: "subprocess.Popen[str]", folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Tell:
    """Runs the command line; returns its one line of an error, told without torch."""
    output = tmp_path_factory.mktemp("said")
    assert forking.stdin and forking.stdout
    requests, codes = forking.stdin, forking.stdout

    def tell(*arguments: str) -> str:
        requests.write(json.dumps([str(folder), str(output), arguments]) + "\n")
        requests.flush()
        code = int(codes.readline())
        stdout, stderr = ((output / name).read_text() for name in ("stdout", "stderr"))
        assert code == 1, stderr
        assert stdout == "heavy:\n"
        lines = [line for line in stderr.splitlines() if line.startswith("Error: ")]
        assert "Traceback" not in stderr and len(lines) == 1, stderr
        assert not (folder / "out").exists()
        return lines[0]

    return tell


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
    told: Tell, verb: str, data: str, flags: tuple[str, ...], message: str
) -> None:
    arguments = [data if each == "DATA" else each for each in VERBS[verb]]
    assert message in told(*arguments, *flags)


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
    told: Tell, arguments: tuple[str, ...], message: str
) -> None:
    arguments = tuple("good.csv" if each == "DATA" else each for each in arguments)
    assert message in told(*arguments)


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
    told: Tell, folder: Path, arguments: tuple[str, ...], model: str, message: str
) -> None:
    (folder / "model").mkdir()
    (folder / "weights").mkdir()
    (folder / "weights" / "pytorch_model.bin").touch()
    said = told(*(model if each == "MODEL" else each for each in arguments))
    assert message in said
    assert len(said) <= len("Error: ") + 300
