"""Predict a table, shard by shard."""

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertedge.errors import DataError, MissingExtraError, OutputError, SettingError, StoppedError
from bertedge.outputs import staged_file
from bertedge.overwriting import check_apart
from bertedge.progress import SILENT, Progress
from bertedge.spec import Text
from bertedge.tables.config import TableConfig
from bertedge.tables.opening import Table, open_table
from bertedge.tables.parts import Part, predict_parts, read_parts
from bertedge.tables.predictions import prediction_arrays, prediction_fields
from bertedge.tables.shards import (
    SUCCESS,
    Origin,
    Piece,
    Shard,
    check_same,
    delete_shards,
    find_shards,
    read_shard,
    shard_path,
    staged_shard,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from bertedge.predictor import Predictor

FORMAT = 1
"""Of what shards say of themselves."""
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
    if find_spec("pyarrow") is None:
        raise MissingExtraError("tables", "pyarrow")
    source, output, config = Path(source), Path(output), config or TableConfig()
    _check_output(output, source)
    manifest = predictor.manifest
    table = open_table(source, config, manifest.model, manifest.columns, progress)
    job = _Job(predictor=predictor, table=table, output=output, config=config)
    job.settle()
    return job.run(progress)


def _check_output(output: Path, source: Path) -> None:
    if output.suffix.lower() in _FILES:
        raise SettingError(
            f"{output} is the name of a file, and a table is predicted into a folder of Parquet "
            "files; give the name of a folder"
        )
    if os.path.lexists(output) and not output.is_dir():
        raise OutputError(f"{output} is no folder; choose another output")
    check_apart(output, (source,))


@dataclass(slots=True, kw_only=True)
class _Job:
    predictor: "Predictor[Any]"
    table: Table
    output: Path
    config: TableConfig
    origin: Origin = field(init=False)
    columns: "list[pa.Field]" = field(init=False)
    """Of the predictions."""
    schema: "pa.Schema" = field(init=False)
    done: dict[int, Shard] = field(init=False)

    def settle(self) -> None:
        """Check what the folder has and what it is to have, before anything is predicted."""
        import pyarrow as pa

        manifest = self.predictor.manifest
        self.origin = Origin(
            bundle=manifest.manifest_sha256,
            variant=self.predictor.variant.name,
            input=self.table.sha256,
            settings=self.config.identity,
        )
        self.done = {}
        for number, path in find_shards(self.output).items():
            shard = read_shard(path)
            if not self.config.overwrite:
                check_same(path, shard.origin, self.origin)
                self.done[number] = shard
        shape = manifest.model.input_shape
        golden = manifest.golden.texts[0]
        if not shape.accepts(len(golden)):
            golden = ("a",) * shape.least
        text = golden[0] if shape.most == 1 else golden
        example = next(self._predict(iter([text])))
        self.columns = prediction_fields(example, self.config.prefix)
        names = [each.name for each in self.columns]
        if clash := [name for name in self.table.kept if name in names]:
            raise SettingError(
                f"the input has a column {clash[0]!r}, and so have the predictions; add --prefix "
                "predicted_ for another name, or leave the input's out with --keep"
            )
        kept = [self.table.schema.field(name) for name in self.table.kept]
        self.schema = pa.schema([*kept, *self.columns])
        if self.config.overwrite:
            delete_shards(self.output)

    def run(self, progress: Progress) -> PredictedTable:
        """Predict the missing shards and mark the folder as whole."""
        table = self.table
        found = sum(shard.rows for shard in self.done.values())
        whole = self.output / SUCCESS
        if found < table.rows:
            whole.unlink(missing_ok=True)
        progress.start("predicting", table.rows, "rows", done=found)
        shape = self.predictor.manifest.model.input_shape
        read = read_parts(table, self.config, shape, self.done)
        try:
            for number, parts in itertools.groupby(read, lambda part: part.shard):
                self._write(number, parts, progress)
            if not table.rows and not self.done:
                self._write(0, iter(()), progress)
        except KeyboardInterrupt:
            rows = sum(shard.rows for shard in self.done.values())
            raise StoppedError(
                f"stopped: {rows:,} of {table.rows:,} rows are in {self.output}; the same command "
                "goes on there"
            ) from None
        progress.finish()
        rows = sum(shard.rows for shard in self.done.values())
        if rows != table.rows:
            raise DataError(
                f"{table.source} changed while it was read: {rows:,} rows instead of "
                f"{table.rows:,}; choose another output, or add --overwrite"
            )
        nulls = sum(shard.nulls for shard in self.done.values())
        result = PredictedTable(rows=rows, nulls=nulls, shards=len(self.done), found=found)
        if not whole.exists():
            self._mark(result)
        return result

    def _predict(self, texts: Iterator[Text]) -> Any:
        config = self.config
        return self.predictor.predict_iter(
            texts,
            aggregation=config.aggregation,
            top_k=config.top_k,
            token_budget=config.token_budget,
            chunk=config.chunk,
        )

    def _write(self, number: int, parts: Iterator[Part], progress: Progress) -> None:
        import pyarrow as pa

        rows = nulls = 0
        pieces: list[Piece] = []
        with staged_shard(shard_path(self.output, number), self.schema) as writer:
            for part, found in predict_parts(parts, self._predict, self.table.source):
                arrays = [*part.batch.columns, *prediction_arrays(found, self.columns)]
                writer.add(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
                rows += len(found)
                nulls += len(found) - part.wanted
                _add(pieces, part.piece)
                progress.advance(len(found))
            shard = Shard(
                format=FORMAT,
                origin=self.origin,
                number=number,
                first_row=number * self.config.rows_per_shard,
                rows=rows,
                nulls=nulls,
                pieces=tuple(pieces),
            )
            writer.close(shard)
        self.done[number] = shard

    def _mark(self, result: PredictedTable) -> None:
        """Write what is there: of what, from what, and how."""
        files = [
            {"file": file.name, "rows": file.rows, "bytes": file.bytes, "sha256": file.sha256}
            for file in self.table.files
        ]
        said: Mapping[str, object] = {
            "format": FORMAT,
            "origin": asdict(self.origin),
            "input": {"path": str(self.table.source), "files": files},
            "rows": result.rows,
            "nulls": result.nulls,
            "shards": result.shards,
        }
        with staged_file(self.output / SUCCESS, overwrite=False) as file:
            file.write(json.dumps(said, ensure_ascii=False, indent=2) + "\n")


def _add(pieces: list[Piece], piece: Piece) -> None:
    """Append rows, to those before them where they follow each other."""
    last = pieces[-1] if pieces else None
    if last and last.file == piece.file and last.first_row + last.rows == piece.first_row:
        pieces.pop()
        piece = Piece(file=last.file, first_row=last.first_row, rows=last.rows + piece.rows)
    pieces.append(piece)
