"""The raw lines of a file that may be gzipped, have a byte order mark or no end, within limits."""

import codecs
import contextlib
import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from bertedge.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
STRETCH = 2**23
LARGEST_RATIO = 100
"""No STRETCH of unpacked bytes may come of less than its 100th part in packed ones. Text packs 3 to
30 times, gzip's limit is 1,032: a small file could unpack to work for hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An open file, unpacked and from behind its byte order mark."""

    path: Path
    file: IO[bytes]
    packed: IO[bytes] | None
    """The file that the bytes are unpacked from, if they are."""
    encoding: str
    """Of the lines: utf-8 too where that is what they were turned into."""


@contextlib.contextmanager
def opened(path: Path, encoding: str | None) -> Iterator[Stream]:
    """Open a file; a byte order mark says what encoding it has, else `encoding`, else UTF-8."""
    with path.open("rb") as plain:
        packed = plain.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        plain.seek(0)
        if not packed and path.suffix.lower() == ".gz":
            raise DataError(
                f"{path} is named .gz but holds no gzip data; rename it, or pack it again"
            )
        file = cast(IO[bytes], gzip.GzipFile(fileobj=plain)) if packed else plain
        file, told = _unmark(file, encoding)
        yield Stream(path=path, file=file, packed=plain if packed else None, encoding=told)


def raw_lines(stream: Stream, longest: int) -> Iterator[bytes]:
    """Yield the lines; of one that is too long only the beginning, one byte more than allowed."""
    stretch = begin = 0
    rest = False
    while raw := stream.file.readline(longest + 1):
        if stream.packed is not None:
            stretch += len(raw)
            if stretch >= STRETCH:
                if stream.packed.tell() - begin < stretch // LARGEST_RATIO:
                    raise DataError(
                        f"{stream.path} unpacks to more than {LARGEST_RATIO} times its size, which "
                        "no text does; if it is meant, unpack it and give the plain file"
                    )
                stretch, begin = 0, stream.packed.tell()
        if not rest:
            yield raw
        rest = len(raw) > longest and not raw.endswith(b"\n")


class _Recoded(io.RawIOBase):
    """A binary stream in an encoding of two or more bytes a character, read as UTF-8."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`; return the number of bytes, 0 at the end."""
        view = memoryview(buffer)
        while not self._ready:
            raw = self._file.read(len(view))
            self._ready = self._decoder.decode(raw, final=not raw).encode("utf-8")
            if not raw:
                break
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


def _unmark(file: IO[bytes], encoding: str | None) -> tuple[IO[bytes], str]:
    """Return the stream from behind its byte order mark, and the encoding that its lines have."""
    head = file.read(4)
    mark, name = next(
        ((mark, name) for mark, name in _MARKS if head.startswith(mark)),
        (b"", encoding or "utf-8"),
    )
    file.seek(len(mark))
    if _WIDE.match(name):
        return io.BufferedReader(_Recoded(file, name)), "utf-8"
    return file, name


# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_WIDE = re.compile(r"utf[-_]?(16|32|7)|hz|iso2022|cp037|cp500|cp1140")
"""Encodings in which a line feed is another byte than 10, or a part of what is no line feed."""
