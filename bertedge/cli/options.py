"""Options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bertedge.cli import from_fields
from bertedge.finetune.config import FinetuneConfig

if TYPE_CHECKING:
    from bertedge.data import Columns
    from bertedge.spec import Task

F = TypeVar("F", bound=Callable[..., Any])

_COLUMNS = (
    *("text_column", "pair_column", "label_column", "intent_column", "label_separator"),
    *("separator", "header", "format", "encoding", "sheet", "label_map", "bad_rows"),
)


def path_option(*names: str, required: bool = False, help: str) -> Callable[[F], F]:  # noqa: A002
    """Return an option that takes a path."""
    return click.option(*names, required=required, type=click.Path(path_type=Path), help=help)


config_option = path_option("--config", help="TOML file; every option is a key of it; flags win.")
columns = from_fields.options(FinetuneConfig, _COLUMNS)
"""Adds the options that say how a labelled file is read."""
coded = from_fields.options(FinetuneConfig, ("encoding", "sheet"))
"""Adds the options that say how a file of texts is coded."""


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
    """Return the map in the file that --label-map names; without one, an empty map."""
    from bertedge.data.label_map import read_label_map

    return read_label_map(flags["label_map"]) if flags["label_map"] else {}


def task_of(flags: dict[str, Any]) -> "Task | None":
    """Return the task that --task names; SettingError for none."""
    from bertedge.errors import SettingError
    from bertedge.spec import Task

    try:
        return Task(flags["task"]) if flags["task"] else None
    except ValueError:
        raise SettingError(
            f"--task is {flags['task']!r}; choose one of {', '.join(Task)}"
        ) from None


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing output.")
