"""No output option of any verb costs an input, a device, or what is not ours."""

import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from bertedge.cli import VERBS, main
from bertedge.outputs import staged_folder

OUTPUTS = {
    ("pretrain", "output"): "directory",
    ("finetune", "output"): "directory",
    ("export", "output"): "directory",
    ("predict", "output"): "file",
    ("evaluate", "errors"): "file",
    ("report", "output"): "file",
    ("bench", "output"): "file",
    ("bench", "page"): "file",
}
"""Every option that names what is written, and as what."""
ADDED_TO = {("finetune", "log_dir"), ("pretrain", "log_dir"), ("report", "learning_curve")}
"""Folders that get new files and lose none."""
FOLDERS = {"base", "embedder", "model", "teacher", "checkpoint", "bundle", "baseline"}
FILES = {
    "config",
    "train",
    "dev",
    "replay",
    "unlabelled",
    "text",
    "eval_data",
    "trim_vocab",
    "source",
    "against",
    "data",
    "compare",
    "label_map",
    "peers",
    "api_key_file",
    "tls_cert",
    "tls_key",
}
"""Every argument and option that names what is read."""
NEEDED = {
    "pretrain": {"text": "own.txt", "size": "tiny"},
    "finetune": {"task": "text-classification", "train": "own.csv", "model": "own"},
    "export": {"checkpoint": "own"},
    "predict": {"bundle": "own", "source": "own.txt"},
    "evaluate": {"model": "own", "data": "own.csv"},
    "report": {"model": "own", "data": "own.csv"},
    "bench": {"bundle": "own", "baseline": "own"},
}
CONTENTS = {
    "config": "",
    "train": "text,label\na,b\n",
    "dev": "text,label\na,b\n",
    "label_map": "a,b\n",
}


def command(verb: str) -> click.Command:
    found = importlib.import_module(f"bertedge.cli.{verb}").command
    assert isinstance(found, click.Command)
    return found


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    for verb in VERBS:
        for parameter in command(verb).params:
            yield verb, parameter


def names_a_path(parameter: click.Parameter) -> bool:
    metavar = str(parameter.metavar)
    return isinstance(parameter.type, click.Path) or "DIR" in metavar or "CHECKPOINT" in metavar


def inputs_of(verb: str) -> list[str]:
    return [
        parameter.name
        for each, parameter in parameters()
        if each == verb and parameter.name in FOLDERS | FILES and names_a_path(parameter)
    ]


CASES = [
    (verb, output, source, how)
    for verb, output in OUTPUTS
    for source in inputs_of(verb)
    for how in (
        ("is", "lies in")
        if source in FOLDERS
        else (("holds",) if OUTPUTS[verb, output] == "directory" else ("is",))
    )
]


def test_every_parameter_that_names_a_path_is_known_as_input_or_output() -> None:
    paths = {(verb, each.name) for verb, each in parameters() if names_a_path(each)}
    outputs = {pair for pair in paths if pair[1] not in FOLDERS | FILES}
    assert outputs == set(OUTPUTS) | ADDED_TO


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    folder: Path

    def arguments(self, verb: str, given: dict[str, str]) -> list[str]:
        """The command line that names all that the verb needs, and what is given."""
        words, first = [verb], []
        merged = NEEDED[verb] | given
        if verb == "export" and "label_map" in given:
            merged["eval_data"] = "own.csv"
        for given_name, other in (("teacher", "model"), ("model", "size")):
            if given_name in given:
                merged.pop(other, None)
        for parameter in command(verb).params:
            if parameter.name in merged:
                value = str(merged[parameter.name])
                if isinstance(parameter, click.Argument):
                    first.append(value)
                else:
                    words += [parameter.opts[0], value]
        return [*words, *first]

    def run(self, verb: str, given: dict[str, str], *more: str) -> Result:
        return CliRunner().invoke(main, [*self.arguments(verb, given), *more])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A working directory with inputs: small files, and directories that we wrote."""
    monkeypatch.chdir(tmp_path)
    for name in ("own", "given"):
        with staged_folder(tmp_path / name, overwrite=False) as folder:
            (folder / "config.json").write_text("{}")
            for source in FILES:
                (folder / source).write_text(CONTENTS.get(source, "words\n"))
    Path("own.txt").write_text("some words\n")
    Path("own.csv").write_text("text,label\na,b\n")
    return Place(folder=tmp_path)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def needs_libraries(verb: str) -> None:
    if verb in ("pretrain", "finetune", "export"):
        pytest.importorskip("torch", reason="needs the train extra")
        pytest.importorskip("optimum", reason="needs the export extra")


@pytest.mark.parametrize(("verb", "output", "source", "how"), CASES)
def test_an_output_that_would_cost_an_input_is_refused(
    place: Place, verb: str, output: str, source: str, how: str
) -> None:
    needs_libraries(verb)
    given = "given" if source in FOLDERS else f"given/{source}"
    to = {"is": given, "lies in": "given/new", "holds": "given"}[how]
    before = snapshot(place.folder)
    for link in (False, True):
        if link:  # another way to the same place
            (place.folder / "link").symlink_to(place.folder / "given")
            to = to.replace("given", "link", 1)
            before = snapshot(place.folder)
        found = place.run(verb, {output: to, source: given}, "--overwrite")
        assert f"{to} {how} the input" in found.stderr, found.stderr
        assert found.exit_code == 1 and len(found.stderr.splitlines()) == 1
        assert snapshot(place.folder) == before


@pytest.mark.parametrize(("verb", "output"), OUTPUTS)
@pytest.mark.parametrize("overwrite", [False, True])
def test_only_a_stream_is_written_to_what_is_no_file_and_no_directory(
    place: Place, verb: str, output: str, overwrite: bool
) -> None:
    needs_libraries(verb)
    os.mkfifo("pipe")
    Path("dangling").symlink_to("nowhere")
    Path("file").write_text("mine")
    Path("linked").symlink_to("file")
    kinds = ["dangling"]
    if OUTPUTS[verb, output] == "directory":
        kinds += ["/dev/null", "pipe", "linked", "file", "/dev/stdout"]
    null = Path("/dev/null").stat()
    for kind in kinds:
        before = snapshot(place.folder)
        flags = ["--overwrite"] if overwrite else []
        found = place.run(verb, {output: kind}, *flags)
        assert found.exit_code == 1 and len(found.stderr.splitlines()) == 1, found.stderr
        assert f"{kind} is a " in found.stderr
        assert snapshot(place.folder) == before
    assert Path("/dev/null").stat().st_ino == null.st_ino


@pytest.mark.parametrize(("verb", "output"), OUTPUTS)
def test_a_directory_with_something_of_the_users_is_left_alone(
    place: Place, verb: str, output: str
) -> None:
    needs_libraries(verb)
    with staged_folder(place.folder / "old", overwrite=False) as folder:
        (folder / "config.json").write_text("{}")
    Path("old/notes.txt").write_text("mine")
    before = snapshot(place.folder)
    found = place.run(verb, {output: "old"}, "--overwrite")
    assert found.exit_code == 1 and len(found.stderr.splitlines()) == 1, found.stderr
    expected = "holds 'notes.txt'" if OUTPUTS[verb, output] == "directory" else "is a directory"
    assert expected in found.stderr
    assert snapshot(place.folder) == before


def test_two_outputs_of_one_command_are_two_files(place: Place) -> None:
    for page in ("bench.json", "./bench.json", "../" + place.folder.name + "/bench.json"):
        found = place.run("bench", {"output": "bench.json", "page": page})
        assert found.exit_code == 1 and "is given for two outputs" in found.stderr
        assert len(found.stderr.splitlines()) == 1
