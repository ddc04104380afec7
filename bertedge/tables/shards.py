"""The Parquet files of a predicted table: what they say of themselves, and which are there."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge import serialization
from bertedge.errors import OutputError, first_line, shorten
from bertedge.outputs import remove, staged_file, writing

if TYPE_CHECKING:
    import pyarrow as pa

KEY = b"bertedge"
"""Of a Parquet file's metadata."""
SUCCESS = "_SUCCESS"
"""The file that says that all are there, as Spark's; readers of folders pass it over."""
_NAME = re.compile(r"part-(\d{5,})\.parquet")
_ROW_GROUP_ROWS, _ROW_GROUP_BYTES = 16_384, 2**26


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What all files of one table have in common."""

    bundle: str
    """SHA-256 of the bundle's manifest, in which those of its files stand."""
    variant: str
    input: str
    """SHA-256 of the names, sizes and hashes of the input's files."""
    settings: dict[str, str | int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Rows of a shard that come from one file of the input."""

    file: str
    first_row: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """What a Parquet file says of itself under the key `bertedge`."""

    format: int
    origin: Origin
    number: int
    first_row: int
    """Of the whole table, from 0."""
    rows: int
    nulls: int
    """Rows without a text."""
    pieces: tuple[Piece, ...]


def shard_path(folder: Path, number: int) -> Path:
    """Return the name of a shard."""
    return folder / f"part-{number:05}.parquet"


def find_shards(folder: Path) -> dict[int, Path]:
    """Return the shards of a folder by number. OutputError where something else is in it."""
    if not folder.exists():
        return {}
    found: dict[int, Path] = {}
    with writing(folder):
        for path in folder.iterdir():
            if match := _NAME.fullmatch(path.name):
                found[int(match[1])] = path
            elif path.name != SUCCESS and not path.name.startswith("."):
                raise OutputError(
                    f"{folder} holds {shorten(repr(path.name), 80)}, which is no part of a "
                    "predicted table; choose another output"
                )
    return dict(sorted(found.items()))


def read_shard(path: Path) -> Shard:
    """Read what a shard says of itself; OutputError where it is none of ours, or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
        shard = serialization.from_plain(Shard, json.loads((metadata.metadata or {})[KEY]))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise OutputError(
            f"{path} is no file of bertedge's, or damaged ({first_line(error)}); delete it, or "
            "choose another output"
        ) from error
    if metadata.num_rows != shard.rows:
        raise OutputError(f"{path} is damaged: it has {metadata.num_rows} rows; delete it")
    return shard


def check_same(path: Path, found: Origin, wanted: Origin) -> None:
    """Raise OutputError where a shard is of another bundle, input or setting."""
    remedy = "choose another output, or add --overwrite"
    if found.bundle != wanted.bundle:
        raise OutputError(
            f"{path} was predicted by another bundle ({found.bundle[:12]}…, this one is "
            f"{wanted.bundle[:12]}…); {remedy}"
        )
    if found.input != wanted.input:
        raise OutputError(f"{path} was predicted from another input, or it changed since; {remedy}")
    if found.variant != wanted.variant:
        raise OutputError(
            f"{path} was predicted by the variant {found.variant}, not {wanted.variant}; add "
            f"--variant {found.variant}, or {remedy}"
        )
    for name, value in wanted.settings.items():
        if (before := found.settings.get(name)) != value:
            raise OutputError(
                f"{path} was predicted with {name} {shorten(str(before), 60)}, not "
                f"{shorten(str(value), 60)}; give the same, or {remedy}"
            )


def delete_shards(folder: Path) -> None:
    """Delete an earlier table, its mark first."""
    with writing(folder):
        for path in (folder / SUCCESS, *find_shards(folder).values()):
            remove(path)


class ShardWriter:
    """Writes tables of some thousand rows as row groups of one file."""

    def __init__(self, file: object, schema: "pa.Schema") -> None:
        """Write to an open binary file."""
        import pyarrow.parquet as pq

        self._writer = pq.ParquetWriter(file, schema)
        self._schema = schema
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: "pa.RecordBatch") -> None:
        """Take a batch, which is written when enough of them are held."""
        self._held.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _ROW_GROUP_ROWS or self._bytes >= _ROW_GROUP_BYTES:
            self._flush()

    def close(self, shard: Shard) -> None:
        """Write what is held, and what the file says of itself."""
        self._flush()
        said = json.dumps(asdict(shard), ensure_ascii=False)
        self._writer.add_key_value_metadata({KEY.decode(): said})
        self._writer.close()

    def abandon(self) -> None:
        """Leave the file as it is: pyarrow would try to end it whenever it is collected."""
        self._writer.is_open = False

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            table = pa.Table.from_batches(self._held, self._schema)
            self._writer.write_table(table, row_group_size=max(self._rows, 1))
        self._held, self._rows, self._bytes = [], 0, 0


@contextlib.contextmanager
def staged_shard(path: Path, schema: "pa.Schema") -> Iterator[ShardWriter]:
    """Yield the writer of a file that is there, whole, when the block ends well."""
    with staged_file(path, overwrite=False) as file:
        writer = ShardWriter(file.buffer, schema)
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise
