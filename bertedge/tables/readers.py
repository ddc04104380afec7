"""Record batches of one file of a table, in bounded memory."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertedge.columns import Columns
from bertedge.data import json_rows, tabular
from bertedge.data.example import Reading, describe
from bertedge.data.report import RowReport
from bertedge.errors import DataError, first_line
from bertedge.spec import LabelKind, ProblemType, Task
from bertedge.tables.files import PARQUET, TableFile

if TYPE_CHECKING:
    import pyarrow as pa

Wanted = Callable[[int, int], bool]
"""Whether any row from the one number on to before the other is wanted."""
_LOOKED_AT = 1024
"""Rows whose types are found together."""
_BUFFER = 2**20
"""Bytes of a column that are read at a time; without it pyarrow holds whole row groups."""


def describe_file(path: Path, kind: str, columns: Columns) -> "tuple[pa.Schema, int]":
    """Return the schema and the number of the rows; DataError for what is no such file."""
    import pyarrow.parquet as pq

    if kind == PARQUET:
        with _readable(path):
            found = pq.read_metadata(path)
            return found.schema.to_arrow_schema(), found.num_rows
    return _describe_rows(path, kind, columns)


def read_batches(
    file: TableFile, columns: Columns, schema: "pa.Schema", rows: int, wanted: Wanted
) -> "Iterator[tuple[int, pa.RecordBatch]]":
    """Yield batches of up to `rows` rows with the columns of `schema`, and their first rows.

    Those without a wanted row may be left out. `columns` are settled. DataError for what cannot
    be read.
    """
    if file.kind == PARQUET:
        return _read_parquet(file.path, schema, rows, wanted)
    return _batch_rows(file, columns, schema, rows, wanted)


def _read_parquet(
    path: Path, schema: "pa.Schema", rows: int, wanted: Wanted
) -> "Iterator[tuple[int, pa.RecordBatch]]":
    import pyarrow.parquet as pq

    with _readable(path), pq.ParquetFile(path, buffer_size=_BUFFER) as file:
        first = 0
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            if wanted(first, end):
                for batch in file.iter_batches(rows, row_groups=[group], columns=schema.names):
                    yield first, batch.select(schema.names)
                    first += batch.num_rows
            first = end


def _describe_rows(path: Path, kind: str, columns: Columns) -> "tuple[pa.Schema, int]":
    """Read all rows: JSON says nothing of what follows, and a table not how long it is."""
    import pyarrow as pa

    head = [] if kind == "jsonl" else _head(path, columns)
    schema, count = pa.schema([(name, pa.string()) for name in head]), 0
    rows = _read_rows(path, kind, columns)
    while batch := list(itertools.islice(rows, _LOOKED_AT)):
        count += len(batch)
        if kind == "jsonl":
            names = dict.fromkeys(itertools.chain.from_iterable(batch))
            with _typed(path, f"its rows up to {count:,}"):
                types = [pa.array([row.get(name) for row in batch]).type for name in names]
                own = pa.schema(list(zip(names, types, strict=True)))
                schema = pa.unify_schemas([schema, own], promote_options="permissive")
    return schema, count


def _batch_rows(
    file: TableFile, columns: Columns, schema: "pa.Schema", rows: int, wanted: Wanted
) -> "Iterator[tuple[int, pa.RecordBatch]]":
    import pyarrow as pa

    first, read = 0, _read_rows(file.path, file.kind, columns)
    while batch := list(itertools.islice(read, rows)):
        end = first + len(batch)
        if wanted(first, end):
            with _typed(file.path, f"its rows {first + 1:,} to {end:,}"):
                cells = [pa.array([row.get(x.name) for row in batch], x.type) for x in schema]
            yield first, pa.RecordBatch.from_arrays(cells, schema=schema)
        first = end


def _read_rows(path: Path, kind: str, columns: Columns) -> Iterator[dict[str, Any]]:
    """Yield rows by the readers of labelled files, so that texts are the same."""
    if kind == "jsonl":
        for line, item in json_rows.read_rows(path, columns.encoding, RowReport()):
            if not isinstance(item, dict):
                raise DataError(
                    f"{path}:{line}: this line is {describe(item)}; a table has one object a line"
                )
            yield item
        return
    head = _head(path, columns)
    rows = tabular.read_rows(reading_of(path, columns), RowReport())
    for row in itertools.islice(rows, 1 if columns.header else 0, None):
        if len(row.cells) != len(head):
            raise DataError(
                f"{path}:{row.line}: the row has {len(row.cells)} columns, the first row has "
                f"{len(head)}; fix it, or say with --separator what is between them"
            )
        yield {name: cell or None for name, cell in zip(head, row.cells, strict=True)}


def _head(path: Path, columns: Columns) -> list[str]:
    first = next(tabular.read_rows(reading_of(path, columns), RowReport()), None)
    cells = [cell.strip() for cell in first.cells] if first else []
    return cells if columns.header else [str(number) for number in range(len(cells))]


def reading_of(path: Path, columns: Columns) -> Reading:
    """Return how a file is read whose columns are texts, whatever is made of them."""
    return Reading(
        path=path,
        task=Task.of(LabelKind.CLASSES),
        columns=columns,
        problem_type=ProblemType.SINGLE_LABEL,
        labelled=False,
    )


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Make a DataError of what pyarrow says of a file; it has no class for damage alone."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet: {first_line(error)}; write it again, or say "
            "--format if it is something else"
        ) from error


@contextlib.contextmanager
def _typed(path: Path, where: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: {where} have values of several kinds under one key: {first_line(error)}; "
            "write one kind"
        ) from error
