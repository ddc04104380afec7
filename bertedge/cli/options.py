"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from bertedge.data import Columns
    from bertedge.spec import Task

F = TypeVar("F", bound=Callable[..., Any])

BAD_ROWS = ("error", "skip")
FORMATS = ("csv", "tsv", "excel", "label-text", "jsonl", "conll", "squad")
_SEPARATORS = {"tab": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}


def path_option(*names: str, required: bool = False, help: str) -> Callable[[F], F]:  # noqa: A002
    """Make an option that takes a path."""
    return click.option(*names, required=required, type=click.Path(path_type=Path), help=help)


bad_rows_option = click.option(
    "--bad-rows", type=click.Choice(BAD_ROWS), help="skip: leave them out and count them [error]."
)


def columns(function: F) -> F:
    """Add the options that say how a labelled file is read."""
    for option in reversed(
        (
            click.option("--text-column", metavar="NAME", help="Text, or tokens; name or number."),
            click.option("--pair-column", metavar="NAME", help="Second text of a pair."),
            click.option("--label-column", metavar="NAME", help="Label, labels, value, or tags."),
            click.option("--intent-column", metavar="NAME", help="Intent, beside the tags."),
            click.option("--label-separator", help="Between several labels of a text [comma]."),
            click.option("--separator", callback=_separator, help="tab, comma, space … or itself."),
            click.option("--header/--no-header", default=None, help="First line names columns?"),
            click.option("--format", type=click.Choice(FORMATS), help="If the extension misleads."),
            *_CODED,
            path_option("--label-map", help="JSON or two columns: the file's label, the model's."),
            bad_rows_option,
        )
    ):
        function = option(function)
    return function


_CODED = (
    click.option("--encoding", metavar="NAME", help="Of a text file: cp1252, gb18030 … [utf-8]."),
    click.option("--sheet", metavar="NAME", help="Of an Excel workbook [the first]."),
)


def coded(function: F) -> F:
    """Add the options that say how a file of texts is coded."""
    for option in reversed(_CODED):
        function = option(function)
    return function


def columns_of(flags: dict[str, Any]) -> "Columns":
    """Gather the values of the options that `columns` added."""
    from bertedge.data import BadRows, Columns

    return Columns(
        text=flags["text_column"],
        pair=flags["pair_column"],
        label=flags["label_column"],
        intent=flags["intent_column"],
        separator=flags["separator"],
        header=flags["header"],
        format=flags["format"],
        label_separator=flags["label_separator"],
        encoding=flags["encoding"],
        sheet=flags["sheet"],
        bad_rows=BadRows(flags["bad_rows"] or BadRows.ERROR),
    )


def label_map_of(flags: dict[str, Any]) -> dict[str, str]:
    """Read the file that --label-map names; none is an empty map."""
    from bertedge.data.label_map import read_label_map

    return read_label_map(flags["label_map"]) if flags["label_map"] else {}


def task_of(flags: dict[str, Any]) -> "Task | None":
    """Give the task that --task names."""
    from bertedge.errors import SettingError
    from bertedge.spec import Task

    try:
        return Task(flags["task"]) if flags["task"] else None
    except ValueError:
        raise SettingError(
            f"--task is {flags['task']!r}; choose one of {', '.join(Task)}"
        ) from None


def _separator(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    return _SEPARATORS.get(value, value) if value else None


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing output.")
