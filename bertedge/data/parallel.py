"""A folder of three parallel files, a line a text: its words, their tags, its intent.

As ATIS and SNIPS are passed around: `seq.in`, `seq.out` and `label`, each of them gzipped or not.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bertedge.data.example import Columns, Reading, TokenExample, check_label, check_text
from bertedge.data.lines import check_file, read_lines, split
from bertedge.data.report import RowReport
from bertedge.data.tags import to_iob2
from bertedge.errors import DataError, SettingError

FORMAT = "parallel"
WORDS, TAGS, INTENTS = "seq.in", "seq.out", "label"
_LABELLED = Columns(format=FORMAT, text=WORDS, label=TAGS, intent=INTENTS)
_UNLABELLED = Columns(format=FORMAT, text=WORDS)

Record = tuple[int, list[tuple[str, str]]]
"""A line's number, and of each file that is read the place of the line and its text."""


def resolve(reading: Reading) -> Columns:
    """Name the files that are read; SettingError where columns are asked for."""
    told = replace(reading.columns, bad_rows=Columns().bad_rows)
    if told not in (Columns(), Columns(format=FORMAT), _LABELLED, _UNLABELLED):
        raise SettingError(
            f"{reading.path} is read as three parallel files, which have no columns and no format "
            "to choose; leave these options out"
        )
    settled = _LABELLED if reading.labelled else _UNLABELLED
    files(reading.path, settled)
    return replace(settled, bad_rows=reading.columns.bad_rows)


def files(folder: Path, columns: Columns = _LABELLED) -> list[Path]:
    """Return the files, in the order words, tags, intents; DataError where one is missing."""
    names = (columns.text, columns.label, columns.intent)
    return [_find(folder, name) for name in names if name is not None]


def records(reading: Reading, report: RowReport) -> Iterator[Record]:
    """Yield the lines that are not blank in all files; DataError where one file has fewer."""
    paths = files(reading.path, reading.columns)
    for lines in itertools.zip_longest(*map(read_lines, paths)):
        number = next(line[0] for line in lines if line is not None)
        ended = [line is None for line in lines]
        if any(ended):
            short, long = paths[ended.index(True)], paths[ended.index(False)]
            raise DataError(
                f"{long}:{number}: {short.name} has no line {number}; the files must have a line "
                "for each text, in one order"
            )
        texts = [text.strip(" \t\r\n") for _, text in lines]
        if any(texts):
            places = [f"{path}:{number}" for path in paths]
            yield number, list(zip(places, texts, strict=True))


def example(reading: Reading, record: Record, report: RowReport) -> TokenExample:
    """Check that a text has as many tags as words, and an intent."""
    number, ((where, text), *labels) = record
    words = tuple(split(check_text(where, text, "text")))
    if not labels:
        return TokenExample(tokens=words, tags=None, line=number)
    (where, text), (last, intent) = labels
    tags = split(text) if text else []
    if len(tags) != len(words):
        raise DataError(
            f"{where}: {len(tags)} tags, but {WORDS} has {len(words)} words in this line; give "
            "each word one tag, parted by spaces"
        )
    return TokenExample(
        tokens=words,
        tags=to_iob2(tags, where),
        line=number,
        intent=check_label(last, intent),
    )


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            check_file(path)
            return path
    raise DataError(
        f"{folder} has no {name} (nor {name}.gz); a folder of intents and slots holds {WORDS}, "
        f"{TAGS} and {INTENTS}, with a line a text in each"
    )
