"""Predict a table, shard by shard."""

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertedge.errors import DataError, MissingExtraError, OutputError, SettingError, StoppedError
from bertedge.outputs import staged_file
from bertedge.overwriting import check_apart
from bertedge.progress import SILENT, Progress
from bertedge.tables.config import TableConfig
from bertedge.tables.job import FORMAT, Job, open_job, write_shard
from bertedge.tables.parts import read_parts
from bertedge.tables.shards import SUCCESS, Shard

if TYPE_CHECKING:
    from bertedge.predictor import Predictor

Engine = Callable[[Job, Mapping[int, Shard], Progress], Iterator[Shard]]
"""Writes the shards of a job that are not in the mapping, and yields each, in any order."""
_FILES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".xlsx")
"""Ends of names that a folder does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedTable:
    """What a folder of predictions holds."""

    rows: int
    nulls: int
    """Rows without a text, whose predictions are null."""
    shards: int
    found: int
    """Rows that an earlier run had predicted."""


def predict_table(
    predictor: "Predictor[Any]",
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    config: TableConfig | None = None,
    progress: Progress = SILENT,
) -> PredictedTable:
    """Predict a table into a folder of Parquet files, in the order of its rows.

    `source` is a file (Parquet, CSV, TSV, Excel, JSON lines), a folder or a pattern of them. Each
    file of `output` appears when it is whole; the same call goes on with those that are missing,
    and writes `_SUCCESS` last. A row without a text has no prediction: null.

    Examples:
        >>> import bertedge
        >>> from bertedge.tables import TableConfig, predict_table
        >>> with bertedge.load("bundles/mine") as model:
        ...     done = predict_table(model, "test.csv", "scored", TableConfig(keep=("text",)))
        >>> done.rows, done.shards
        (60, 1)

    Raises DataError for an input that cannot be read, OutputError where the folder holds another
    bundle's or another input's rows, SettingError for columns that are not there or have the name
    of a prediction's, StoppedError after Ctrl-C.
    """
    config = config or TableConfig()
    return run(predictor, Path(source), Path(output), config, progress, write_here)


def run(
    predictor: "Predictor[Any]",
    source: Path,
    output: Path,
    config: TableConfig,
    progress: Progress,
    write: Engine,
) -> PredictedTable:
    """Predict a table by an engine, and mark the folder as whole."""
    if find_spec("pyarrow") is None:
        raise MissingExtraError("tables", "pyarrow")
    _check_output(output, source)
    job, done = open_job(predictor, source, output, config, progress)
    table, whole = job.table, output / SUCCESS
    found = sum(shard.rows for shard in done.values())
    if found < table.rows:
        whole.unlink(missing_ok=True)
    progress.start("predicting", table.rows, "rows", done=found)
    try:
        for shard in write(job, done, progress):
            done[shard.number] = shard
    except KeyboardInterrupt:
        rows = sum(shard.rows for shard in done.values())
        raise StoppedError(
            f"stopped: {rows:,} of {table.rows:,} rows are in {output}; the same command goes on "
            "there"
        ) from None
    progress.finish()
    rows = sum(shard.rows for shard in done.values())
    if rows != table.rows:
        raise DataError(
            f"{table.source} changed while it was read: {rows:,} rows instead of {table.rows:,}; "
            "choose another output, or add --overwrite"
        )
    nulls = sum(shard.nulls for shard in done.values())
    result = PredictedTable(rows=rows, nulls=nulls, shards=len(done), found=found)
    if not whole.exists():
        _mark(job, result)
    return result


def write_here(job: Job, done: Mapping[int, Shard], progress: Progress) -> Iterator[Shard]:
    """Write the missing shards in this process, one after the other."""
    read = read_parts(job.table, job.config, job.predictor.manifest.model.input_shape, done)
    for number, parts in itertools.groupby(read, lambda part: part.shard):
        yield write_shard(job, number, parts, progress.advance)
    if not job.table.rows and not done:
        yield write_shard(job, 0, iter(()), progress.advance)


def _check_output(output: Path, source: Path) -> None:
    if output.suffix.lower() in _FILES:
        raise SettingError(
            f"{output} is the name of a file, and a table is predicted into a folder of Parquet "
            "files; give the name of a folder"
        )
    if os.path.lexists(output) and not output.is_dir():
        raise OutputError(f"{output} is no folder; choose another output")
    check_apart(output, (source,))


def _mark(job: Job, result: PredictedTable) -> None:
    """Write what is there: of what, from what, and how."""
    files = [
        {"file": file.name, "rows": file.rows, "bytes": file.bytes, "sha256": file.sha256}
        for file in job.table.files
    ]
    said: Mapping[str, object] = {
        "format": FORMAT,
        "origin": asdict(job.origin),
        "input": {"path": str(job.table.source), "files": files},
        "rows": result.rows,
        "nulls": result.nulls,
        "shards": result.shards,
    }
    with staged_file(job.output / SUCCESS, overwrite=False) as file:
        file.write(json.dumps(said, ensure_ascii=False, indent=2) + "\n")
