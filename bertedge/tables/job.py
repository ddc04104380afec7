"""What is to be predicted of a table, settled, and one shard of it written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertedge.errors import SettingError
from bertedge.progress import Progress
from bertedge.spec import Text
from bertedge.tables.config import TableConfig
from bertedge.tables.opening import Table, open_table
from bertedge.tables.parts import Part, predict_parts
from bertedge.tables.predictions import prediction_arrays, prediction_fields
from bertedge.tables.shards import (
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that a process needs to write any of the shards; it can be pickled."""

    predictor: "Predictor[Any]"
    table: Table
    output: Path
    config: TableConfig
    origin: Origin
    columns: "list[pa.Field]"
    """Of the predictions."""
    schema: "pa.Schema"
    """Of the shards: the kept columns and those of the predictions."""

    @property
    def shards(self) -> int:
        """How many the table has; an empty one has one, without rows."""
        return max(-(-self.table.rows // self.config.rows_per_shard), 1)

    def rows_of(self, number: int) -> int:
        """Return how many rows a shard has."""
        size = self.config.rows_per_shard
        return min(size, self.table.rows - number * size)

    def predict(self, texts: Iterator[Text]) -> Any:
        """Predict texts as the settings say."""
        config = self.config
        return self.predictor.predict_iter(
            texts,
            aggregation=config.aggregation,
            top_k=config.top_k,
            token_budget=config.token_budget,
            chunk=config.chunk,
        )


def open_job(
    predictor: "Predictor[Any]",
    source: Path,
    output: Path,
    config: TableConfig,
    progress: Progress,
) -> tuple[Job, dict[int, Shard]]:
    """Return what is to be predicted, and the shards that are there already.

    All is checked before anything is predicted, and an earlier table is deleted where `config`
    says so.
    """
    import pyarrow as pa

    manifest = predictor.manifest
    table = open_table(source, config, manifest.model, manifest.columns, progress)
    origin = Origin(
        bundle=manifest.manifest_sha256,
        variant=predictor.variant.name,
        input=table.sha256,
        settings=config.identity,
    )
    done = _found(output, origin, config)
    columns = prediction_fields(_example(predictor, config), config.prefix)
    names = [each.name for each in columns]
    if clash := [name for name in table.kept if name in names]:
        raise SettingError(
            f"the input has a column {clash[0]!r}, and so have the predictions; add --prefix "
            "predicted_ for another name, or leave the input's out with --keep"
        )
    kept = [table.schema.field(name) for name in table.kept]
    job = Job(
        predictor=predictor,
        table=table,
        output=output,
        config=config,
        origin=origin,
        columns=columns,
        schema=pa.schema([*kept, *columns]),
    )
    if config.overwrite:
        delete_shards(output)
    return job, done


def write_shard(
    job: Job, number: int, parts: Iterator[Part], advance: Callable[[int], None]
) -> Shard:
    """Predict the parts of a shard and write its file, which appears when it is whole."""
    import pyarrow as pa

    rows = nulls = 0
    pieces: list[Piece] = []
    with staged_shard(shard_path(job.output, number), job.schema) as writer:
        for part, found in predict_parts(parts, job.predict, job.table.source):
            arrays = [*part.batch.columns, *prediction_arrays(found, job.columns)]
            writer.add(pa.RecordBatch.from_arrays(arrays, schema=job.schema))
            rows += len(found)
            nulls += len(found) - part.wanted
            _add(pieces, part.piece)
            advance(len(found))
        shard = Shard(
            format=FORMAT,
            origin=job.origin,
            number=number,
            first_row=number * job.config.rows_per_shard,
            rows=rows,
            nulls=nulls,
            pieces=tuple(pieces),
        )
        writer.close(shard)
    return shard


def _found(output: Path, origin: Origin, config: TableConfig) -> dict[int, Shard]:
    done = {}
    for number, path in find_shards(output).items():
        shard = read_shard(path)
        if not config.overwrite:
            check_same(path, shard.origin, origin)
            done[number] = shard
    return done


def _example(predictor: "Predictor[Any]", config: TableConfig) -> Any:
    """Return a prediction, whose fields are those of all."""
    manifest = predictor.manifest
    shape, golden = manifest.model.input_shape, manifest.golden.texts[0]
    if not shape.accepts(len(golden)):
        golden = ("a",) * shape.least
    text = golden[0] if shape.most == 1 else golden
    found = predictor.predict_iter([text], aggregation=config.aggregation, top_k=config.top_k)
    return next(found)


def _add(pieces: list[Piece], piece: Piece) -> None:
    """Append rows, to those before them where they follow each other."""
    last = pieces[-1] if pieces else None
    if last and last.file == piece.file and last.first_row + last.rows == piece.first_row:
        pieces.pop()
        piece = Piece(file=last.file, first_row=last.first_row, rows=last.rows + piece.rows)
    pieces.append(piece)
