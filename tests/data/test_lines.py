import codecs
import collections
import gzip
import os
import random
import re
from pathlib import Path

import pytest

from bertedge.data import BadRows, hash_examples
from bertedge.data.lines import check_file, read_lines
from bertedge.data.report import RowReport
from bertedge.errors import DataError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_lines_end_at_line_feeds_only(write, encoding: str) -> None:
    path = write("a.txt", "one\u2028still\x85one\x0b\r\n\ntwo\rstill two".encode(encoding))
    assert list(read_lines(path)) == [
        (1, "one\u2028still\x85one\x0b\r\n"),
        (2, "\n"),
        (3, "two\rstill two"),
    ]


def test_half_a_character_of_utf_7_is_located(write) -> None:
    with pytest.raises(DataError, match=r"a\.txt:2: the bytes from here on are not .*surrogates"):
        list(read_lines(write("a.txt", b"a\n+2AA-\n"), "utf-7"))


def test_a_byte_order_mark_is_dropped_at_the_start_only(write) -> None:
    path = write("a.txt", codecs.BOM_UTF8 + "ä\n\ufeffö".encode())
    assert list(read_lines(path)) == [(1, "ä\n"), (2, "\ufeffö")]


def test_gzip_is_known_by_its_content(write, tmp_path: Path) -> None:
    packed = write("a.gz", "ä\nö\n")
    packed.rename(tmp_path / "a.txt")
    assert list(read_lines(tmp_path / "a.txt")) == [(1, "ä\n"), (2, "ö\n")]


def test_gzip_in_several_members_is_read_whole(write) -> None:
    path = write("a.txt", gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    assert [text for _, text in read_lines(path)] == ["a\n", "b\n"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "gut\nschön\n".encode("latin-1"),
            "2: byte 0xf6 at offset 7 is not UTF-8; .* --encoding cp1252, .* iconv -f WINDOWS-1252",
        ),
        (
            "好的\n这个酒店很好\n".encode("gb18030"),
            "1: byte 0xba at offset 0 .* --encoding gb18030, .*",
        ),
        (b"a\n" + "ü".encode()[:1], "2: byte 0xc3 at offset 2"),
        (b"a\nb\xff\xfe\n", "2: byte 0xff at offset 3"),
        (b"\xed\xa0\x80\n", "1: byte 0xed at offset 0"),
        (codecs.BOM_UTF16_LE + "ab\n".encode("utf-16-le") + b"a", "2: .* not utf-16-le"),
        (codecs.BOM_UTF16_BE + b"\xd8\x00\x00a", "1: .* not utf-16-be"),
        (codecs.BOM_UTF32_LE + b"\xff\xff\xff\xff", "1: .* not utf-32-le"),
        (
            "abcd\n".encode("utf-16-le"),
            "1: there is a NUL byte at offset 1; it looks like utf-16-le; say --encoding utf-16-le",
        ),
        (b"one\ntwo\0 three four\n", r"2: there is a NUL byte at offset 7; is it a text file\?"),
    ],
)
def test_bytes_that_are_no_text_are_located(write, content: bytes, message: str) -> None:
    for name in ("a.txt", "a.txt.gz"):
        path = write(name, content)
        with pytest.raises(DataError) as caught:
            list(read_lines(path))
        assert re.search(f"^{re.escape(str(path))}:{message}", str(caught.value))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_gzip_that_is_cut_short_is_a_clear_error(write, keep: float) -> None:
    whole = gzip.compress(os.urandom(20_000).hex().encode())
    path = write("a.txt", whole[: int(len(whole) * keep)])
    with pytest.raises(DataError, match=r"a\.txt:\d+: the gzip data is cut short or damaged"):
        list(read_lines(path))


def test_gzip_with_a_flipped_byte_is_a_clear_error(write) -> None:
    whole = bytearray(gzip.compress(b"a line\n" * 1000))
    for position in range(10, len(whole)):
        damaged = whole.copy()
        damaged[position] ^= 0xFF
        with pytest.raises(DataError, match=r"a\.txt:\d+: "):
            list(read_lines(write("a.txt", bytes(damaged))))


def test_a_name_that_promises_gzip_must_keep_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_text("text,label\n")
    with pytest.raises(DataError, match=r"is named .gz but holds no gzip data"):
        list(read_lines(tmp_path / "a.csv.gz"))


def test_a_missing_file_is_answered_with_near_names(write, tmp_path: Path) -> None:
    write("train.tsv.gz", "x")
    write("dev.tsv", "x")
    for wrong, right in [("train.tsv", "train.tsv.gz"), ("devv.tsv", "dev.tsv")]:
        with pytest.raises(DataError, match=f"does not exist; did you mean .*{re.escape(right)}"):
            check_file(tmp_path / wrong)
    with pytest.raises(DataError, match=r"quite-another does not exist$"):
        check_file(tmp_path / "quite-another")
    with pytest.raises(DataError, match=r"does not exist, nor does the directory .*nowhere$"):
        check_file(tmp_path / "nowhere" / "train.tsv")


def test_what_is_no_file_with_content_is_refused(write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a directory"):
        check_file(tmp_path)
    with pytest.raises(DataError, match="is empty"):
        check_file(write("empty.csv", ""))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="no regular file"):
        check_file(tmp_path / "pipe")
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        check_file(tmp_path / ("x" * 300))


def test_a_file_that_may_not_be_read_is_a_clear_error(
    anyones_folder: Path, as_ordinary_user
) -> None:
    path = anyones_folder / "a.txt"
    path.write_text("x")
    path.chmod(0)

    def read() -> None:
        with pytest.raises(DataError, match="cannot be read: Permission denied"):
            list(read_lines(path))

    as_ordinary_user(read)


def test_a_line_that_is_too_long_is_an_error_or_left_out(write) -> None:
    path = write("a.txt", "one\n" + "x" * 100 + "\nthree\n" + "12345678\n" + "1234567\n")
    with pytest.raises(DataError, match=r"a\.txt:2: the line has more than"):
        list(read_lines(path, longest=8))
    report = RowReport(policy=BadRows.SKIP)
    assert [n for n, _ in read_lines(path, report=report, longest=8)] == [1, 3, 5]
    assert report.skipped == 2


@pytest.mark.parametrize("unit", [b"\0", b"text ", b"a\tb " * 99 + b"\n", b"text " * 1000 + b"\n"])
def test_a_small_file_that_unpacks_without_end_is_refused_at_once(tmp_path: Path, unit) -> None:
    path = tmp_path / "a.tsv.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(17):
            file.write(unit * (2**20 // len(unit)))
    with pytest.raises(DataError, match=r"unpacks to more than 100 times|more than 16 MiB"):
        collections.deque(read_lines(path), maxlen=0)
    if b"\n" in unit:
        return
    report = RowReport(policy=BadRows.SKIP)
    with pytest.raises(DataError, match="unpacks to more than 100 times"):
        collections.deque(read_lines(path, report=report), maxlen=0)


def test_text_that_packs_well_is_no_bomb(tmp_path: Path) -> None:
    rng = random.Random(0)
    words = [rng.randbytes(24).hex() for _ in range(100)]
    text = "".join(" ".join(rng.choices(words, k=8)) + "\tO\n" for _ in range(22_000))
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress(text.encode(), 9))
    assert path.stat().st_size * 5 < len(text) and len(text) > 2**23
    assert sum(1 for _ in read_lines(path)) == 22_000


def test_a_hash_is_taken_of_regular_files_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match="no regular file"):
            hash_examples(path)
