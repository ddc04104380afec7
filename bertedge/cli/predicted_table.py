"""`bertedge predict` of a table into a folder of Parquet files."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bertedge.cli.extras import need

if TYPE_CHECKING:
    from bertedge.data import Columns

STANDARD = Path("-")
ONLY_TABLES = ("keep", "prefix", "rows_per_shard")
"""Options that need one."""
_NOT_TABLES = ("explain", "explain_label", "against")


def is_asked_for(source: Path | None, output: str | None, flags: dict[str, Any]) -> bool:
    """Return whether the input is Parquet, a folder or a pattern, or the output is a folder.

    UsageError for an option of tables where there is none.
    """
    from bertedge.tables.files import is_table

    into_folder = output is not None and output.endswith(("/", os.sep, ".parquet"))
    if source is not None and source != STANDARD and (into_folder or is_table(source)):
        return True
    if flags["format"] == "parquet" or into_folder:
        raise click.UsageError("Parquet is for --input FILE, a folder or a 'pattern'")
    if told := [name for name in ONLY_TABLES if flags[name] is not None]:
        raise click.UsageError(
            f"--{told[0].replace('_', '-')} is for Parquet; give --output DIR/ with a slash"
        )
    return False


def predict(
    bundle: Path,
    source: Path,
    output: str | None,
    columns: "Columns",
    flags: dict[str, Any],
) -> None:
    """Predict the table; say how many rows there are, and how many are without a text."""
    from bertedge.cli.console import say
    from bertedge.cli.progress import Terminal
    from bertedge.predictor import Predictor
    from bertedge.tables import TableConfig, predict_table

    need("tables", "pyarrow")
    if output is None:
        raise click.UsageError("a table needs --output DIR, a folder for its Parquet files")
    if told := [name for name in _NOT_TABLES if flags[name]]:
        flag = told[0].replace("_", "-")
        raise click.UsageError(f"--{flag} writes JSON lines, no Parquet; leave it out")
    own = {"rows_per_shard": flags["rows_per_shard"], "prefix": flags["prefix"]}
    config = TableConfig(
        keep=_names(flags["keep"]),
        columns=columns,
        aggregation=flags["aggregation"],
        top_k=flags["top_k"],
        token_budget=flags["token_budget"],
        chunk=flags["chunk"],
        overwrite=flags["overwrite"],
        **{name: value for name, value in own.items() if value is not None},
    )
    with Predictor.open(
        bundle, device=flags["device"], threads=flags["threads"], variant=flags["variant"]
    ) as predictor:
        done = predict_table(predictor, source, output, config, Terminal(keep=True))
    said = f"{done.rows:,} rows in {output}, shards: {done.shards:,}"
    if done.found:
        said += f"; {done.found:,} were there already"
    if done.nulls:
        said += f"; {done.nulls:,} have no text and no prediction (null)"
    say(said)


def _names(keep: str | None) -> tuple[str, ...] | None:
    if keep is None or keep == "all":
        return None
    return tuple(name.strip() for name in keep.split(",") if name.strip())
