"""Every command and every Python block of the README and of docs/ does what the page shows.

So does the example of every name that a user touches.

The blocks of a page are run in their order, in a folder of its own, with a tiny model under the
names of the real ones. What a page shows of an output is compared: `...` stands for anything, and a
number with a decimal point for any such number. A block that cannot run here says why in the line
before it, `<!-- not run: why -->`; its commands and its Python are still parsed.
"""

import ast
import contextlib
import doctest
import inspect
import io
import pydoc
import re
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bertedge.cli import main

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = (
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
)
FENCE = re.compile(r'( *)```(\w+)(?: title="([^"]+)")?$')
MARK = re.compile(r" *<!-- not run: (.+) -->$")
OUTPUTS = re.compile(r"\b(?:runs|bases|bundles)/[\w-]+")
RUN = ("bash", "console", "python")
MEASURED = "it is how a record was measured"
OWN_PACE = {"finetune": ("--learning-rate", "3e-3", "--batch-size", "8")}
"""Options for the tiny base, which learns at another pace than the one it stands for."""

EXAMPLES = (
    "bertedge.load",
    "bertedge.Predictor",
    *(
        f"bertedge.Predictor.{name}"
        for name in (
            *("close", "predict", "predict_one", "predict_iter", "embed", "similarity"),
            *("zero_shot", "rank"),
        )
    ),
    *(
        f"bertedge.{name}"
        for name in (
            *("Classification", "MultiLabelClassification", "Regression", "Entity", "Entities"),
            *("IntentSlots", "FilledMasks", "Embedding", "Answers", "Answers.to_dict"),
            "Ranked",
        )
    ),
    "bertedge.tables.predict_table",
    "bertedge.finetune.FinetuneConfig",
    "bertedge.finetune.finetune",
    "bertedge.finetune.MultiTaskConfig",
    "bertedge.finetune.finetune_tasks",
    "bertedge.pretrain.PretrainConfig",
    "bertedge.pretrain.pretrain",
    "bertedge.export.ExportConfig",
    "bertedge.export.export",
    "bertedge.bench.BenchConfig",
    "bertedge.bench.read_report",
)
"""Names whose docstrings have an example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    page: Path
    line: int
    language: str
    title: str | None
    text: str
    why_not: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    why_not, region = None, None
    for number, line in lines:
        if line.startswith("<!-- measured:"):
            region = MEASURED if line.startswith("<!-- measured:begin") else None
        if mark := MARK.match(line):
            why_not = mark[1]
        elif fence := FENCE.match(line):
            indent, language, title = fence.groups()
            inside = []
            for _, each in lines:
                if each == f"{indent}```":
                    break
                inside.append(each.removeprefix(indent))
            yield Block(
                page=page,
                line=number,
                language=language,
                title=title,
                text="\n".join(inside) + "\n",
                why_not=why_not or region,
            )
            why_not = None


@dataclass(frozen=True, slots=True)
class Command:
    words: tuple[str, ...]
    shown: str
    """Its output as the page has it; empty where it shows none."""

    @property
    def output(self) -> str | None:
        """What it makes."""
        options = dict(zip(self.words, self.words[1:], strict=False))
        return options.get("--output")


def commands(block: Block) -> Iterator[Command]:
    """Commands with the lines of output that follow; in bash blocks every line is a command."""
    text = block.text.replace("\\\n", " ")
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if block.language == "bash" or line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        else:
            found[-1][1].append(line)
    for line, shown in found:
        if words := shlex.split(line, comments=True):
            yield Command(tuple(words), "\n".join(shown))


def assert_shown(shown: str, found: str, where: object) -> None:
    if not matches(shown, found):
        pytest.fail(f"{where} shows\n{shown}\nbut there is\n{found}")


def matches(shown: str, found: str) -> bool:
    pattern = re.escape(" ".join(shown.split())).replace(r"\.\.\.", ".*")
    pattern = re.sub(r"\d+\\\.\d+", r"\\d+\\.\\d+(?:e-\\d+)?", pattern)
    return re.fullmatch(pattern, " ".join(found.split())) is not None


@dataclass
class Workshop:
    """Runs commands; what took long to make is kept for the other pages that make it too."""

    prepared: Path
    kept: Path
    makers: dict[str, Command]
    """Of each output, the command that makes it somewhere in the pages."""
    made: dict[tuple[str, ...], Path] = field(default_factory=dict)

    def run(self, command: Command, where: object) -> None:
        name, *rest = command.words
        assert name == "bertedge", f"{where}: {name} cannot be run here: say so before the block"
        output = command.output
        if output and command.words in self.made:
            if not Path(output).exists():
                shutil.copytree(self.made[command.words], output)
            return
        pace = () if "--config" in command.words else OWN_PACE.get(rest[0], ())
        done = CliRunner().invoke(main, [*rest, *pace])
        assert done.exit_code == 0, f"{where}: {done.stderr}"
        if command.shown:
            assert_shown(command.shown, done.stdout, where)
        if output and Path(output).is_dir():
            self.made[command.words] = self.kept / str(len(self.made))
            shutil.copytree(output, self.made[command.words])

    def provide(self, text: str, own: Collection[str | None] = ()) -> None:
        """Make what a text names and does not make itself, and before it what that needs."""
        for output in OUTPUTS.findall(text):
            if output in self.makers and output not in own and not Path(output).exists():
                command = self.makers[output]
                self.provide(" ".join(command.words), (output,))
                self.run(command, output)


@pytest.fixture(scope="module")
def workshop(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    makers: dict[str, Command] = {}
    for page in PAGES:
        for block in blocks(page):
            for command in run_by(block):
                if command.output:
                    makers.setdefault(command.output, command)
    return Workshop(prepared, tmp_path_factory.mktemp("kept"), makers)


@pytest.fixture
def folder(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page's own folder, with the prepared files."""
    own = tmp_path / "page"
    shutil.copytree(workshop.prepared, own)
    monkeypatch.chdir(own)
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)  # it takes python3 of the path
    return own


def test_blocks_are_run_or_of_a_language_that_does_nothing() -> None:
    languages = {block.language for page in PAGES for block in blocks(page)}
    assert languages <= {*RUN, "csv", "json", "toml", "text", "dockerfile", "ini", "yaml"}


@pytest.mark.parametrize(
    ("shown", "found", "same"),
    [
        ("score 0.98", "score 0.7123", True),
        ("score 0.98", "score 1.2e-05", True),
        ("scores={...}, windows=1", "scores={'a': 0.5}, windows=1", True),
        ("['a',\n 'b']", "['a', 'b']", True),
        ("label 'a'", "label 'b'", False),
        ("windows=1", "windows=2", False),
        ("a", "a b", False),
    ],
)
def test_what_a_page_shows_is_compared_but_for_decimals_and_dots(
    shown: str, found: str, same: bool
) -> None:
    with contextlib.nullcontext() if same else pytest.raises(pytest.fail.Exception):
        assert_shown(shown, found, "a page")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_the_blocks_of_a_page_do_what_it_shows(
    page: Path, workshop: Workshop, folder: Path
) -> None:
    if page.name == "spark.md":
        check_spark()
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page):
        if block.title:
            place(block, folder)
        own = list(run_by(block))
        workshop.provide(block.text, [command.output for command in own])
        for command in own:
            workshop.run(command, block)
        if block.language == "python" and not block.why_not:
            run_python(block, names)


def check_spark() -> None:
    pytest.importorskip("pyspark", reason="pip install pyspark")
    if not shutil.which("java"):
        pytest.skip("Spark needs Java: apt-get install default-jre-headless")


def run_by(block: Block) -> Iterator[Command]:
    if block.language in ("bash", "console") and not block.why_not:
        yield from commands(block)


def place(block: Block, folder: Path) -> None:
    """Write the file that a block shows; of one that is prepared it shows the first lines."""
    assert block.title
    path = folder / block.title
    if path.exists() and path.suffix != ".toml":
        assert path.read_text(encoding="utf-8").startswith(block.text), f"{block}: another file"
    else:
        path.write_text(block.text, encoding="utf-8")


def run_python(block: Block, names: dict[str, object]) -> None:
    """Run statement by statement; comments right under one are what it prints or is worth."""
    lines = block.text.splitlines()
    for statement in ast.parse(block.text).body:
        assert statement.end_lineno
        shown = []
        for line in lines[statement.end_lineno :]:
            if not line.startswith("# "):
                break
            shown.append(line.removeprefix("# "))
        code = ast.unparse(statement)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if isinstance(statement, ast.Expr):
                value = eval(code, names)
                if value is not None:
                    print(repr(value))
            else:
                exec(code, names)
        if shown:
            assert_shown("\n".join(shown), printed.getvalue(), block)


class Checker(doctest.OutputChecker):
    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return matches(want, got)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_public_name_is_true(name: str, workshop: Workshop, folder: Path) -> None:
    text = inspect.getdoc(pydoc.locate(name)) or ""
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert test.examples, f"{name} has no example"
    workshop.provide("".join(example.source for example in test.examples))
    said: list[str] = []
    outcome = doctest.DocTestRunner(checker=Checker()).run(test, out=said.append)
    assert outcome.failed == 0, "".join(said)


LEFT_OUT = [b for page in PAGES for b in blocks(page) if b.why_not and b.language in RUN]


@pytest.mark.parametrize("block", LEFT_OUT, ids=lambda block: f"{block} {block.why_not}")
def test_a_block_that_is_not_run_is_parsed(block: Block, folder: Path) -> None:
    if block.language == "python":
        compile(block.text, str(block), "exec")
        return
    for command in commands(block):
        name, *rest = command.words
        if name == "bertedge":
            with click.Context(main) as context:
                verb = main.get_command(context, rest[0])
                assert verb
                verb.make_context(rest[0], rest[1:], parent=context)
        else:
            assert name in ("curl", "pip", "python") or (REPOSITORY / name).exists()
