"""The lines of a text file, gzipped or not, with an exact error for every byte that is wrong."""

import codecs
import contextlib
import difflib
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from bertedge.data.report import RowReport
from bertedge.data.streams import opened, raw_lines
from bertedge.errors import DataError, SettingError

LONGEST_LINE = 2**24
"""In bytes, 16 MiB: five times War and Peace. One line is held in memory, several times over."""
LONGEST_HEAD = 2**22
"""In characters, 4 MiB: what is held of a file to see how it is written."""


_SPACES = re.compile(r"[ \t]+")
T = TypeVar("T")


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
    """Return the error for a `path` that the operating system does not let us read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"{str(path)!r} cannot be read: {reason}; check the path and its permissions")


def check_encoding(name: str) -> str:
    """Return Python's name of a text encoding; SettingError where there is none of that name."""
    with contextlib.suppress(LookupError, ValueError):
        "a".encode(name)  # base64 and its like are codecs too, but of no text
        return codecs.lookup(name).name
    raise SettingError(
        f"--encoding {name[:40]!r} is unknown; give utf-8, utf-16, cp1252 (Western Windows), "
        "gb18030 (Chinese), shift_jis (Japanese) or another name that Python knows"
    )


def read_lines(
    path: Path,
    encoding: str | None = None,
    report: RowReport | None = None,
    *,
    longest: int = LONGEST_LINE,
) -> Iterator[tuple[int, str]]:
    r"""Yield the number and the text of each line, its line end included.

    Only `\n` (so also `\r\n`) ends a line: U+2028 and its like are text. A byte order mark says
    what encoding the file has and is dropped; without one it is `encoding`, or else UTF-8. A line
    that is not in this encoding, holds NUL bytes or has more than `longest` bytes is left to
    `report`; without one it raises DataError, as damaged gzip always does.
    """
    report = report or RowReport()
    number = offset = 0
    try:
        with opened(path, encoding) as stream:
            for raw in raw_lines(stream, longest):
                number += 1
                try:
                    check_length(f"{path}:{number}", raw, longest)
                    text = _decode(raw, path, number, offset, stream.encoding)
                except DataError as error:
                    report.skip(error)
                else:
                    yield number, text
                offset += len(raw)
    except (UnicodeDecodeError, UnicodeEncodeError) as error:  # of lines not cut as bytes
        raise DataError(
            f"{path}:{number + 1}: the bytes from here on are not {error.encoding} "
            f"({error.reason}); give another --encoding, or save the file as UTF-8"
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}:{number + 1}: the gzip data is cut short or damaged ({error}); "
            "copy or pack the file again"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None


def first_line(path: Path, encoding: str | None = None, longest: int = LONGEST_LINE) -> str:
    """Return the first line with anything in it; an empty one where there is none."""
    lines = (line.strip() for _, line in read_lines(path, encoding, longest=longest))
    return next(filter(None, lines), "")


def take_head(items: Iterable[T], count: int, size: Callable[[T], int]) -> list[T]:
    """Take the first `count` of some items; fewer, at least one, where they are large."""
    head: list[T] = []
    total = 0
    for item in items:
        head.append(item)
        total += size(item)
        if len(head) == count or total > LONGEST_HEAD:
            break
    return head


def split(line: str) -> list[str]:
    """Return the words between spaces and tabs."""
    # Not str.split: it also splits at no-break and ideographic spaces, which are words.
    return _SPACES.split(line.strip(" \t"))


def check_length(where: str, raw: bytes, longest: int = LONGEST_LINE) -> None:
    """Raise DataError for a line that is longer than what is held in memory."""
    if len(raw) > longest:
        raise DataError(
            f"{where}: the line has more than {longest >> 20} MiB; write one example a line, and "
            "cut its text: no model reads that much"
        )


def _decode(raw: bytes, path: Path, number: int, offset: int, encoding: str) -> str:
    if b"\0" in raw:
        if number == 1 and raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
            raise DataError(
                f"{path} is no text but looks like an Excel workbook; give it the extension .xlsx "
                "(or .xls), or say --format excel"
            )
        guess = _guess_wide(raw)
        advice = f"it looks like {guess}; {_recode(path, guess)}" if guess else "is it a text file?"
        where = offset + raw.index(0)
        raise DataError(f"{path}:{number}: there is a NUL byte at offset {where}; {advice}")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        place = f"{path}:{number}: byte 0x{raw[error.start]:02x} at offset {offset + error.start}"
        if encoding != "utf-8":
            raise DataError(
                f"{place} is not {encoding}; give another --encoding, or save the file as UTF-8"
            ) from None
        guess = _guess_encoding(raw)
        raise DataError(
            f"{place} is not UTF-8; the line looks like {guess}; {_recode(path, guess)}"
        ) from None


def _guess_encoding(raw: bytes) -> str:
    # Four bytes above ASCII in a row are rare in Western text, the rule in Chinese.
    with contextlib.suppress(UnicodeDecodeError):
        if re.search(rb"[\x80-\xff]{4}", raw) and raw.decode("gb18030"):
            return "gb18030"
    return "cp1252"


def _guess_wide(raw: bytes) -> str | None:
    """Name UTF-16 where that many bytes are 0, as they are in text without a byte order mark."""
    if raw.count(0) <= len(raw) // 4:
        return None
    return "utf-16-be" if raw[:1] == b"\0" else "utf-16-le"


def _recode(path: Path, encoding: str) -> str:
    return (
        f"say --encoding {encoding}, or save it as UTF-8: "
        f"iconv -f {_ICONV.get(encoding, encoding.upper())} -t UTF-8 {path.name[-60:]}"
    )


_ICONV = {"cp1252": "WINDOWS-1252"}


def _near(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f", nor does the directory {folder}"
    names = [sibling.name for sibling in folder.iterdir()]
    if path.name + ".gz" in names:
        return f"; did you mean {path}.gz?"
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(str(folder / name) for name in close)}?" if close else ""
