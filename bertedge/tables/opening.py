"""Open a table: its files, where its texts stand, and which columns are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.bundle import hash_file
from bertedge.columns import Columns
from bertedge.data import guessing, tabular
from bertedge.data.formats import settle_format
from bertedge.data.lines import unreadable
from bertedge.errors import DataError, SettingError, shorten
from bertedge.progress import Progress
from bertedge.spec import ModelSpec
from bertedge.tables.config import TableConfig
from bertedge.tables.files import PARQUET, TableFile, find_files
from bertedge.tables.readers import describe_file, reading_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table whose columns are settled."""

    source: Path
    files: tuple[TableFile, ...]
    columns: Columns
    """Settled: what each file is read with."""
    schema: "pa.Schema"
    """Of the columns that are read: the kept ones and those of texts."""
    kept: tuple[str, ...]
    """In the order of the input."""
    texts: tuple[str, ...]
    """Columns of the texts that make one input."""
    sha256: str
    """Of the files' names, sizes and hashes."""

    @property
    def rows(self) -> int:
        """How many there are in all files."""
        return sum(file.rows for file in self.files)


def open_table(
    source: Path,
    config: TableConfig,
    spec: ModelSpec,
    trained: Columns | None,
    progress: Progress,
) -> Table:
    """Open a file, a folder or a pattern for a model; what is settled is said.

    Every file is hashed: that takes a thousandth of the time that its texts take.
    Raises DataError where a file cannot be read so, SettingError for columns that are not there.
    """
    told = config.columns
    parquet = told.format == PARQUET
    kind, paths = find_files(source, told.format)
    columns = replace(told, format=None if parquet or kind == PARQUET else kind)
    trained, pair = trained or Columns(), spec.input_shape.least > 1
    if kind not in (PARQUET, "jsonl"):
        reading = replace(reading_of(paths[0], columns), pair=pair, trained=trained)
        reading = replace(reading, columns=settle_format(reading))
        columns = tabular.resolve(reading)
    if len(paths) > 1:
        progress.start("reading", len(paths), "files")
    schemas, files, first = [], [], 0
    for path in paths:
        schema, rows = describe_file(path, kind, columns)
        schemas.append(schema)
        files.append(_file(path, source, kind, first, rows))
        first += rows
        progress.advance(1)
    progress.finish()
    schema = schemas[0] if kind == PARQUET else _unite(schemas, paths)
    if kind in (PARQUET, "jsonl"):
        reading = replace(reading_of(paths[0], columns), pair=pair, trained=trained, task=spec.task)
        word = "key" if kind == "jsonl" else "column"
        header = guessing.Header(where=str(paths[0]), names=tuple(schema.names), kind=word)
        if spec.input_shape.most == 1:  # whatever is made of it, a text stands there
            reading = replace(reading, task=reading_of(paths[0], columns).task)
        columns = guessing.resolve_names(header, reading)
    texts = tuple(name for name in (columns.text, columns.pair) if name is not None)
    progress.say(f"{_words(columns)}; {first:,} rows in {_count(len(files), 'file')}")
    kept = _kept(config.keep, schema, paths[0])
    used = tuple(name for name in schema.names if name in kept or name in texts)
    _check_once(used, schema, paths[0])
    if kind == PARQUET:
        _check_alike(used, schemas, paths)
    return Table(
        source=source,
        files=tuple(files),
        columns=columns,
        schema=_bare(schema, used),
        kept=kept,
        texts=texts,
        sha256=sha256(
            "\n".join(f"{f.name} {f.bytes} {f.sha256}" for f in files).encode()
        ).hexdigest(),
    )


def _file(path: Path, source: Path, kind: str, first: int, rows: int) -> TableFile:
    base = source if source.is_dir() else path.parent
    try:
        digest, size = hash_file(path), path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from None
    return TableFile(
        path=path,
        name=path.relative_to(base).as_posix(),
        kind=kind,
        first=first,
        rows=rows,
        bytes=size,
        sha256=digest,
    )


def _unite(schemas: "Sequence[pa.Schema]", paths: Sequence[Path]) -> "pa.Schema":
    import pyarrow as pa

    try:
        return pa.unify_schemas(list(schemas), promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(
            f"{paths[0].parent}: the files have other kinds of values under one key: "
            f"{shorten(str(error))}; write one kind"
        ) from error


def _check_alike(
    names: Sequence[str], schemas: "Sequence[pa.Schema]", paths: Sequence[Path]
) -> None:
    """Raise DataError where a file lacks a used column or has another type there."""
    for schema, path in zip(schemas, paths, strict=True):
        for name in names:
            wanted = schemas[0].field(name).type
            if schema.names.count(name) != 1:
                raise DataError(
                    f"{path} has no column {shorten(name)!r}, and {paths[0].name} has; "
                    "leave it out with --keep, or give files of one kind"
                )
            if schema.field(name).type != wanted:
                raise DataError(
                    f"{path} has {shorten(str(schema.field(name).type), 40)} in column "
                    f"{shorten(name, 40)!r}, and {paths[0].name} has {shorten(str(wanted), 40)}; "
                    "convert one, or leave the column out with --keep"
                )


def _kept(keep: tuple[str, ...] | None, schema: "pa.Schema", path: Path) -> tuple[str, ...]:
    if keep is None:
        return tuple(schema.names)
    for name in keep:
        if name not in schema.names:
            header = guessing.Header(where=str(path), names=tuple(schema.names), kind="column")
            raise SettingError(
                f"--keep: {path} has no column {shorten(name, 40)!r}; found {header.found()}"
            )
    return tuple(name for name in schema.names if name in keep)


def _check_once(names: Sequence[str], schema: "pa.Schema", path: Path) -> None:
    for name in names:
        if schema.names.count(name) > 1:
            raise DataError(
                f"{path}: {shorten(name)!r} names {schema.names.count(name)} columns; rename all "
                "but one, or leave them out with --keep"
            )


def _bare(schema: "pa.Schema", names: Sequence[str]) -> "pa.Schema":
    """Return the named fields without what pandas and others wrote of the whole file."""
    import pyarrow as pa

    return pa.schema([schema.field(name) for name in names])


def _words(columns: Columns) -> str:
    pair = "" if columns.pair is None else f", second text from {shorten(columns.pair, 60)!r}"
    return f"text from column {shorten(str(columns.text), 60)!r}{pair}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
