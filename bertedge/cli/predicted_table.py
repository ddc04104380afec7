"""`bertedge predict` of a table into a folder of Parquet files."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bertedge.cli.extras import need

if TYPE_CHECKING:
    from bertedge.data import Columns

STANDARD = Path("-")
ENGINES = ("local", "ray")
ONLY_TABLES = ("keep", "prefix", "rows_per_shard", "engine", "address", "actors")
"""Options that need one."""
_NOT_TABLES = ("explain", "explain_label", "against", "rank", "candidate_labels")
_ONLY_RAY = ("address", "actors")


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
    from bertedge.tables import Cluster, TableConfig, predict_table, predict_table_on_ray

    need("tables", "pyarrow")
    if output is None:
        raise click.UsageError("a table needs --output DIR, a folder for its Parquet files")
    if told := [name for name in _NOT_TABLES if flags[name]]:
        flag = told[0].replace("_", "-")
        raise click.UsageError(f"--{flag} writes JSON lines, no Parquet; leave it out")
    _check_engine(flags)
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
    progress = Terminal(keep=True)
    if flags["engine"] == "ray":
        need("ray", "ray")
        cluster = Cluster(
            address=flags["address"],
            actors=flags["actors"],
            threads=flags["threads"] or 1,
            variant=flags["variant"],
        )
        done = predict_table_on_ray(bundle, source, output, config, cluster, progress)
    else:
        with Predictor.open(
            bundle, device=flags["device"], threads=flags["threads"], variant=flags["variant"]
        ) as predictor:
            done = predict_table(predictor, source, output, config, progress)
    said = f"{done.rows:,} rows in {output}, shards: {done.shards:,}"
    if done.found:
        said += f"; {done.found:,} were there already"
    if done.nulls:
        said += f"; {done.nulls:,} have no text and no prediction (null)"
    say(said)


def _check_engine(flags: dict[str, Any]) -> None:
    from bertedge.runtime.providers import AUTO, CPU

    if flags["engine"] == "ray":
        if flags["device"] not in (AUTO, CPU.name):
            raise click.UsageError(
                f"--engine ray runs on CPUs; leave --device {flags['device']} out"
            )
    elif told := [name for name in _ONLY_RAY if flags[name] is not None]:
        raise click.UsageError(f"--{told[0]} is for Ray; add --engine ray")


def _names(keep: str | None) -> tuple[str, ...] | None:
    if keep is None or keep == "all":
        return None
    return tuple(name.strip() for name in keep.split(",") if name.strip())
