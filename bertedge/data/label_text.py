"""Lines of a label and a text, parted by the first space: SST, TREC, and fastText's `__label__`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bertedge.data.example import Columns, Reading, TextExample, shorten
from bertedge.data.lines import read_lines, take_head
from bertedge.data.report import BadRows, RowReport
from bertedge.data.targets import SEPARATOR, text_example
from bertedge.errors import DataError, SettingError
from bertedge.spec import ProblemType

FORMAT = "label-text"
FASTTEXT = "__label__"
_HEAD = 1000
"""Lines that are looked at."""
_ROWS_A_LABEL = 10
"""First words that are labels return: a file of plain texts has far more of them."""


def looks_like(path: Path, encoding: str | None) -> bool:
    """Return whether the first word of each line is a label: fastText's, a number, one of few."""
    lines = (text.strip() for _, text in read_lines(path, encoding, RowReport(policy=BadRows.SKIP)))
    head = take_head(filter(None, lines), _HEAD, len)
    firsts = Counter(line.split(maxsplit=1)[0] for line in head)
    if any("\t" in line or " " not in line for line in head) or not head:
        return False
    if all(first.startswith(FASTTEXT) for first in firsts):
        return True
    if all(first.lstrip("+-").isdigit() for first in firsts):
        return len(firsts) <= max(2, len(head) / 2)
    return 2 <= len(firsts) <= len(head) / _ROWS_A_LABEL


def resolve(reading: Reading) -> Columns:
    """Settle whether labels are read; SettingError where columns are asked for."""
    told, label = reading.columns, "label" if reading.labelled else None
    settled = Columns(
        format=FORMAT,
        text="text",
        label=label,
        label_separator=told.label_separator,
        encoding=told.encoding,
        bad_rows=told.bad_rows,
    )
    own = told.text in (None, "text") and told.label in (None, "label") and not reading.pair
    if not own or replace(told, text="text", label=label) != settled:
        raise SettingError(
            f"{reading.path} is read as lines of a label and a text, which have no columns and no "
            "second text; leave these options out, or say --format tsv or csv"
        )
    return settled


def records(reading: Reading, report: RowReport) -> Iterator[tuple[int, str]]:
    """Yield the lines with anything in them."""
    for number, line in read_lines(reading.path, reading.columns.encoding, report):
        if line := line.strip():
            yield number, line


def example(reading: Reading, record: tuple[int, str], report: RowReport) -> TextExample:
    """Cut a line; only fastText's may begin with several labels."""
    number, line = record
    first, *rest = line.split(maxsplit=1)
    names, text = [first.removeprefix(FASTTEXT)], "".join(rest)
    while first.startswith(FASTTEXT) and text.startswith(FASTTEXT):
        more, *rest = text.split(maxsplit=1)
        names, text = [*names, more.removeprefix(FASTTEXT)], "".join(rest)
    several = reading.problem_type is ProblemType.MULTI_LABEL
    if len(names) > 1 and reading.columns.label is not None and not several:
        raise DataError(
            f"{reading.path}:{number}: there are {len(names)} labels, {shorten(' '.join(names))}; "
            "for several labels a text: --problem-type multi_label_classification"
        )
    separator = reading.columns.label_separator or SEPARATOR
    return text_example(reading, number, text, label=separator.join(filter(None, names)))
