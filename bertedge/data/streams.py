"""The raw lines of a file that may be gzipped, have a byte order mark or no end, within limits."""

import codecs
import contextlib
import functools
import gzip
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from bertedge.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
STRETCH = 2**23
LARGEST_RATIO = 100
"""No STRETCH of unpacked bytes may come of less than its 100th part in packed ones. Text packs 3 to
30 times, gzip's limit is 1,032: a small file could unpack to work for hours."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An open file, unpacked and from behind its byte order mark."""

    path: Path
    readline: Callable[[int], bytes]
    """Returns a line's bytes, as many as are asked for (of a wide encoding: as many characters)."""
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
        head = file.read(4)
        marks = (each for each in _MARKS if head.startswith(each[0]))
        mark, name = next(marks, (b"", encoding or "utf-8"))
        file.seek(len(mark))
        readline: Callable[[int], bytes] = file.readline
        if _WIDE.match(name):
            text = io.TextIOWrapper(file, name, newline="\n")
            readline, name = functools.partial(_read_as_utf8, text), "utf-8"
        yield Stream(path=path, readline=readline, packed=plain if packed else None, encoding=name)


def _read_as_utf8(text: io.TextIOWrapper, characters: int) -> bytes:
    return text.readline(characters).encode("utf-8")


def raw_lines(stream: Stream, longest: int) -> Iterator[bytes]:
    """Yield the lines; of one that is too long only the beginning, more than is allowed."""
    stretch = begin = 0
    rest = False
    while raw := stream.readline(longest + 1):
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
