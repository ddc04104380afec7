"""Write the documents that describe JSON field by field, from the records' own docstrings.

benchmarks/SCHEMA.md is what `bertedge bench --json` writes, docs/reference/manifest.md what a
bundle's `bertedge.json` holds.
"""

import argparse
import ast
import dataclasses
import inspect
import re
import sys
import textwrap
import typing
from enum import Enum
from pathlib import Path

from bertedge.bench.report import SCHEMA, Report
from bertedge.bundle.manifest import FORMAT, Manifest

ROOT = Path(__file__).parent.parent
BENCH_HEAD = f"""# What `bertedge bench --json` writes

Schema {SCHEMA}: one JSON object, a `Report` as below. The number rises whenever a field is renamed,
removed or changes its meaning; `--compare` and `--from` read this schema. Units stand in the
fields' names; `null` is what was not measured. `scripts/schema.py` writes this file.
"""
MANIFEST_HEAD = f"""# Fields of `bertedge.json`

Format {FORMAT}: one JSON object, a `Manifest` as below; a newer format is refused. `null` is what
does not apply or was not measured. `scripts/schema.py` writes this page.
"""
DOCUMENTS = {
    ROOT / "benchmarks" / "SCHEMA.md": (BENCH_HEAD, Report),
    ROOT / "docs" / "reference" / "manifest.md": (MANIFEST_HEAD, Manifest),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check",
        action="store_true",
        help="Write nothing; fail if a document differs from the records.",
    )
    check, stale = parser.parse_args().check, []
    for document, (head, root) in DOCUMENTS.items():
        text = "\n".join([head, *(section(kind) for kind in reachable(root))])
        if not document.exists() or document.read_text(encoding="utf-8") != text:
            stale.append(str(document.relative_to(ROOT)))
            if not check:
                document.write_text(text, encoding="utf-8")
    if check and stale:
        sys.exit(f"{', '.join(stale)} differ from the records: run scripts/schema.py")


def reachable(kind: type) -> list[type]:
    """List a record and all records and enums in its fields, each after the first that holds it."""
    found = [kind]
    for each in found:
        if dataclasses.is_dataclass(each):
            for hint in typing.get_type_hints(each).values():
                found += [part for part in parts(hint) if part not in found]
    return found


def parts(hint: object) -> list[type]:
    """The records and enums in a type."""
    inner = [part for argument in typing.get_args(hint) for part in parts(argument)]
    own = isinstance(hint, type) and (dataclasses.is_dataclass(hint) or issubclass(hint, Enum))
    return [typing.cast(type, hint), *inner] if own else inner


def section(kind: type) -> str:
    said = meanings(kind)
    lines = [f"## {kind.__name__}", "", one_line(inspect.getdoc(kind) or ""), ""]
    if issubclass(kind, Enum):
        rows = [f"| `{m.value}` | {said.get(m.name, '')} |" for m in kind]
        return "\n".join([*lines, "| value | meaning |", "| --- | --- |", *rows, ""])
    hints = typing.get_type_hints(kind)
    rows = [
        f"| `{field.name}` | {written(hints[field.name])} | {said.get(field.name, '')} |"
        for field in dataclasses.fields(kind)
    ]
    return "\n".join([*lines, "| field | type | meaning |", "| --- | --- | --- |", *rows, ""])


def meanings(kind: type) -> dict[str, str]:
    """Read the string that stands under each field."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for node, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign):
            name = node.target
        elif isinstance(node, ast.Assign):
            name = node.targets[0]
        else:
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[ast.unparse(name)] = one_line(str(after.value.value))
    return found


def one_line(text: str) -> str:
    """Write a docstring in JSON's words and in one cell of a table."""
    for python, json in (("None", "null"), ("False", "false"), ("True", "true")):
        text = re.sub(rf"\b{python}\b", json, text)
    return " ".join(text.split()).replace("|", "\\|")


def written(hint: object) -> str:
    """Name a type as JSON has it."""
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is tuple:
        return f"list of {written(arguments[0])}"
    if origin is dict:
        return f"object of {written(arguments[1])}"
    if arguments:
        return " or ".join(written(argument) for argument in arguments)
    names = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    if hint in names:
        return names[typing.cast(type, hint)]
    name = typing.cast(type, hint).__name__
    return f"[{name}](#{name.lower()})"


if __name__ == "__main__":
    main()
