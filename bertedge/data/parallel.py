"""A folder of three parallel files, a line a text: its words, their tags, its intent.

As ATIS and SNIPS are passed around: `seq.in`, `seq.out` and `label`, each of them gzipped or not.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bertedge.data.example import Columns, TokenExample, check_label, check_text
from bertedge.data.lines import check_file, read_lines
from bertedge.data.report import RowReport
from bertedge.data.tags import TagError, to_iob2
from bertedge.errors import DataError, SettingError

FORMAT = "parallel"
WORDS, TAGS, INTENTS = "seq.in", "seq.out", "label"
_LABELLED = Columns(format=FORMAT, text=WORDS, label=TAGS, intent=INTENTS)
_UNLABELLED = Columns(format=FORMAT, text=WORDS)


def resolve(folder: Path, columns: Columns, *, labelled: bool) -> Columns:
    """Name the files that are read; SettingError where columns are asked for."""
    policy = columns.bad_rows
    known = (Columns(), Columns(format=FORMAT), _LABELLED, _UNLABELLED)
    if columns not in [replace(each, bad_rows=policy) for each in known]:
        raise SettingError(
            f"{folder} is read as three parallel files, which have no columns and no format to "
            "choose; leave these options out"
        )
    resolved = replace(_LABELLED if labelled else _UNLABELLED, bad_rows=policy)
    files(folder, resolved)
    return resolved


def files(folder: Path, columns: Columns = _LABELLED) -> list[Path]:
    """Find the files, in the order words, tags, intents; DataError where one is missing."""
    names = (columns.text, columns.label, columns.intent)
    return [_find(folder, name) for name in names if name is not None]


def read(folder: Path, columns: Columns, report: RowReport) -> Iterator[TokenExample]:
    """Yield the examples; `columns` comes from `resolve`. Lines that are blank in all are none."""
    paths = files(folder, columns)
    for lines in itertools.zip_longest(*map(read_lines, paths)):
        if None in lines:
            raise _uneven(paths, lines)
        number = lines[0][0]
        texts = [text.strip(" \t\r\n") for _, text in lines]
        if not any(texts):
            continue
        try:
            example = _example(paths, number, texts)
        except DataError as error:
            report.skip(error)
            continue
        yield example


def _example(paths: list[Path], line: int, texts: list[str]) -> TokenExample:
    words = _split(check_text(paths[0], line, texts[0], "text"))
    if len(texts) == 1:
        return TokenExample(tokens=words, tags=None, line=line)
    tags = _split(texts[1])
    if len(tags) != len(words):
        raise DataError(
            f"{paths[1]}:{line}: {len(tags)} tags, but {paths[0].name} has {len(words)} words in "
            "this line; give each word one tag, parted by spaces"
        )
    try:
        own = to_iob2(tags)
    except TagError as error:
        raise DataError(f"{paths[1]}:{line}: {error}") from None
    intent = check_label(paths[2], line, texts[2])
    return TokenExample(tokens=words, tags=own, line=line, intent=intent)


def _split(text: str) -> tuple[str, ...]:
    # Not str.split: it also splits at no-break and ideographic spaces, which are words.
    return tuple(re.split(r"[ \t]+", text.strip(" \t"))) if text else ()


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            check_file(path)
            return path
    raise DataError(
        f"{folder} has no {name} (nor {name}.gz); a folder of intents and slots holds {WORDS}, "
        f"{TAGS} and {INTENTS}, with a line a text in each"
    )


def _uneven(paths: list[Path], lines: Sequence[tuple[int, str] | None]) -> DataError:
    ended = [line is None for line in lines]
    short, long = paths[ended.index(True)], paths[ended.index(False)]
    number = next(line[0] for line in lines if line is not None)
    return DataError(
        f"{long}:{number}: {short.name} has no line {number}; the files must have a line for each "
        "text, in one order"
    )
