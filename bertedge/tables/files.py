"""The files of a table: one, those of a folder, or those of a pattern."""

import glob
import os
from dataclasses import dataclass
from pathlib import Path

from bertedge.data import formats
from bertedge.data.lines import check_file
from bertedge.errors import DataError, shorten

PARQUET = "parquet"
KINDS = (PARQUET, "csv", "tsv", "excel", "jsonl")
_PARQUET = (".parquet", ".pq")
_READ = ".parquet, .csv, .tsv, .xlsx or .jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """A file of a table."""

    path: Path
    name: str
    """Below the folder that was given."""
    kind: str
    first: int
    """The table's rows before it."""
    rows: int
    bytes: int
    sha256: str


def is_table(source: str | os.PathLike[str]) -> bool:
    """Return whether an input is Parquet, a folder, or a pattern of names."""
    path = Path(source)
    return path.suffix.lower() in _PARQUET or path.is_dir() or _is_pattern(path)


def find_files(source: Path, kind: str | None) -> tuple[str, list[Path]]:
    """Return the kind and the files of `source`, sorted by name.

    Of a folder those below it that are tables by their names, but for hidden ones and `_SUCCESS`
    and its like. Raises DataError where there is none, or they are of several kinds.
    """
    if source.is_dir():
        inside = sorted(path for path in source.rglob("*") if path.is_file())
        files = [path for path in inside if not _is_hidden(path.relative_to(source))]
        if kind is None:
            files = [path for path in files if _kind(path)]
    elif _is_pattern(source):
        found = map(Path, glob.glob(str(source), recursive=True))  # noqa: PTH207 (absolute patterns)
        files = sorted(path for path in found if path.is_file())
    else:
        files = [source]
    if not files:
        what = "holds no table" if source.is_dir() else "is the name of no file"
        raise DataError(
            f"{source} {what}; give {_READ} files, or a pattern in quotes: 'data/*.csv'"
        )
    kinds = {path: kind or _kind(path) for path in files}
    for path, each in kinds.items():
        if each not in KINDS:
            raise DataError(f"{path} is no table by its name; give {_READ}, or say --format")
        if each != kinds[files[0]]:
            raise DataError(
                f"{shorten(str(source))} has files of several kinds ({files[0].name}, "
                f"{path.name}); give those of one: 'data/*.parquet'"
            )
    for path in files:
        check_file(path)
    return str(kinds[files[0]]), files


def _kind(path: Path) -> str | None:
    if path.suffix.lower() in _PARQUET:
        return PARQUET
    return None if formats.is_text(path) else formats.format_of(path)


def _is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path)) and not os.path.lexists(path)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)
