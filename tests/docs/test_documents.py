"""The site builds without a warning and loads nothing from elsewhere; pages leave nothing out."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bertedge import errors
from bertedge.bench import gate
from bertedge.cli import VERBS
from bertedge.spec import ProblemType, Task

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
LOADED = re.compile(r"""<(?:script|link|img|source|iframe)[^>]*\s(?:src|href|srcset)="([^"]+)""")
IN_STYLES = re.compile(r"""(?:url\(|@import )["']?([^"')]+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="pip install 'bertedge[docs]' builds the documentation")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").exists()
    assert len(list(site.rglob("*.html"))) >= len(list(DOCS.rglob("*.md")))


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = dict.fromkeys(site.rglob("*.html"), LOADED)
    styles = dict.fromkeys(site.rglob("*.css"), IN_STYLES)
    for path, pattern in (pages | styles).items():
        for found in pattern.findall(path.read_text(encoding="utf-8")):
            assert not re.match(r"(https?:)?//", found), f"{path.name} loads {found}"


def test_the_reference_of_the_command_line_has_every_option(site: Path) -> None:
    page = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    for verb in VERBS:
        options = help_of(verb)
        assert options
        assert [option for option in options if option not in page] == []


def help_of(verb: str) -> list[str]:
    import click

    from bertedge.cli import main

    with click.Context(main) as context:
        command = main.get_command(context, verb)
        assert command
        return [name for each in command.params for name in each.opts if name.startswith("--")]


def test_each_verb_and_each_task_has_a_page() -> None:
    assert {path.stem for path in (DOCS / "verbs").glob("*.md")} == set(VERBS)
    tasks = {path.stem for path in (DOCS / "tasks").glob("*.md")} - {"index"}
    assert tasks == {task.value for task in Task}


def test_the_page_of_a_task_has_its_data_its_commands_and_its_prediction() -> None:
    for task in Task:
        text = (DOCS / "tasks" / f"{task.value}.md").read_text(encoding="utf-8")
        assert "bertedge export" in text, task
        assert "bertedge.load(" in text, task
        assert 'title="' in text or task is Task.FEATURE_EXTRACTION, task
    one = (DOCS / "tasks" / "text-classification.md").read_text(encoding="utf-8")
    assert all(kind.value in one for kind in ProblemType if kind is not ProblemType.SINGLE_LABEL)


def test_every_field_of_a_bundles_manifest_is_explained() -> None:
    text = (DOCS / "reference" / "manifest.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 80
    assert [row for row in rows if row.endswith("|  |")] == []


def test_the_page_of_bench_has_every_name_of_a_gate() -> None:
    text = (DOCS / "verbs" / "bench.md").read_text(encoding="utf-8")
    rows = [
        line for line in text.splitlines() if line.startswith(("| a workload |", "| an engine |"))
    ]
    named = [set(re.findall(r"`(\w+)`", row)) for row in rows]
    assert named == [{*gate.OF_A_WORKLOAD, "agreement"}, set(gate.OF_AN_ENGINE)]


def test_troubleshooting_names_every_error() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    ours = [kind.__name__ for kind in kinds if issubclass(kind, errors.BertedgeError)]
    assert len(ours) > 5
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    named = {line.split("`")[1] for line in rows if len(line.split("|")) == 5}
    assert named == set(ours) - {"BertedgeError"}


def test_the_readme_is_short_and_its_first_screen_shows_what_it_is_and_how() -> None:
    lines = README.splitlines()
    assert len(lines) <= 170
    assert len(README.encode()) <= 10_000
    first = "\n".join(lines[:60])
    head = first.partition("measured:begin headline -->\n")[2].partition("\n\n")[0].splitlines()
    assert len(head) == 2 + 5
    for part in ("<picture>", "pip install", "bertedge.load(", *five()):
        assert part in first, part


def five() -> list[str]:
    return [f"bertedge {verb}" for verb in ("finetune", "export", "evaluate", "predict", "bench")]


def test_every_link_between_documents_leads_to_a_file() -> None:
    for path in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#:]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"
