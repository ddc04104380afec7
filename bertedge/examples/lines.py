"""The lines of a UTF-8 file, gzipped or not, with an exact error for every byte that is wrong."""

import codecs
import difflib
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from bertedge.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"


class Row(NamedTuple):
    """A line (or the first of several) cut into columns; there are millions, so no dataclass."""

    line: int
    cells: list[str]


def check_file(path: Path) -> None:
    """Raise DataError where `path` is not a regular file with something in it."""
    try:
        if not path.exists():
            raise DataError(f"{path} does not exist{_near(path)}")
        if path.is_dir():
            raise DataError(f"{path} is a directory; give one labelled file")
        if not path.is_file():
            raise DataError(f"{path} is no regular file; it is read more than once, so save it")
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty; give a file with at least one labelled row")
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> DataError:
    """Say that the operating system does not let us read `path`."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"{str(path)!r} cannot be read: {reason}; check the path and its permissions")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yield the number and the text of each line, its line end included.

    Only `\n` (so also `\r\n`) ends a line: U+2028 and its like are text. A byte order mark is
    dropped. What is no UTF-8, holds NUL bytes or is damaged gzip raises DataError.
    """
    number = offset = 0
    try:
        with _open(path) as file:
            for raw in file:
                number += 1
                yield number, _decode(raw, path, number, offset)
                offset += len(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}:{number + 1}: the gzip data is cut short or damaged ({error}); "
            "copy or pack the file again"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None


def check_surrogates(where: str, item: object) -> None:
    """Raise DataError for half of a surrogate pair in any text of what JSON gave."""
    try:
        json.dumps(item, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise DataError(
            f"{where}: {half} is half of a surrogate pair, no character; "
            "write the other half beside it, or delete it"
        ) from None


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    if packed:
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix.lower() == ".gz":
        raise DataError(f"{path} is named .gz but holds no gzip data; rename it, or pack it again")
    return path.open("rb")


def _decode(raw: bytes, path: Path, number: int, offset: int) -> str:
    if offset == 0:
        for mark, name in _FOREIGN_MARKS:
            if raw.startswith(mark):
                raise DataError(f"{path}:1: the file is {name}; {_recode(path, name)}")
        raw = raw.removeprefix(codecs.BOM_UTF8)
    if b"\0" in raw:
        guess = "UTF-16LE" if raw.count(0) > len(raw) // 4 else None
        advice = f"it looks like {guess}; {_recode(path, guess)}" if guess else "is it a text file?"
        where = offset + raw.index(0)
        raise DataError(f"{path}:{number}: there is a NUL byte at offset {where}; {advice}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        guess = _guess_encoding(raw)
        raise DataError(
            f"{path}:{number}: byte 0x{raw[error.start]:02x} at offset {offset + error.start} is "
            f"not UTF-8; the line looks like {guess}; {_recode(path, guess)}"
        ) from None


# UTF-32 first: its little-endian mark begins with that of UTF-16.
_FOREIGN_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def _guess_encoding(raw: bytes) -> str:
    # Four bytes above ASCII in a row are rare in Western text, the rule in Chinese.
    if re.search(rb"[\x80-\xff]{4}", raw):
        try:
            raw.decode("gb18030")
            return "GB18030"
        except UnicodeDecodeError:
            pass
    return "latin-1 (Windows-1252)"


def _recode(path: Path, encoding: str) -> str:
    name = "WINDOWS-1252" if encoding.startswith("latin-1") else encoding
    return f"save it as UTF-8, such as by iconv -f {name} -t UTF-8 {path.name}"


def _near(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f", nor does the directory {folder}"
    names = [sibling.name for sibling in folder.iterdir()]
    if path.name + ".gz" in names:
        return f"; did you mean {path}.gz?"
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(str(folder / name) for name in close)}?" if close else ""
