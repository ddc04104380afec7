"""What users read is plain technical English."""

import ast
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import bertedge
from bertedge.cli import VERBS, main

PACKAGE = Path(bertedge.__file__).parent
ODD = re.compile(r"\b(mend(s|ed|ing)?|rungs?|said|alike|by luck|lucky)\b")


def texts_of(path: Path) -> list[tuple[int, str]]:
    """The strings of a module, its docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    described = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    return [
        (each.lineno, each.value)
        for each in ast.walk(tree)
        if isinstance(each, ast.Constant)
        and isinstance(each.value, str)
        and id(each) not in described
    ]


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_message_has_words_of_our_own(path: Path) -> None:
    odd = [(line, text) for line, text in texts_of(path) if ODD.search(text)]
    # A name of a field in a file is not prose.
    assert not [(line, text) for line, text in odd if " " in text], odd


@pytest.mark.parametrize("verb", VERBS)
def test_no_help_has_words_of_our_own(verb: str) -> None:
    command = main.get_command(click.Context(main), verb)
    assert command is not None
    flag = "--help-all" if any(each.name == "help_all" for each in command.params) else "--help"
    shown = CliRunner().invoke(main, [verb, flag]).stdout
    assert shown and not ODD.search(shown)
