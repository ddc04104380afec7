"""CoNLL columns: a word a line, an empty line after each sentence."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

from bertedge.data import guessing
from bertedge.data.example import Columns, Reading, TokenExample, shorten
from bertedge.data.lines import LONGEST_LINE, Row, read_lines, split, take_head
from bertedge.data.report import RowReport
from bertedge.data.tags import explain, split_tag, to_iob2
from bertedge.errors import DataError, SettingError

DOCUMENT_MARK = "-DOCSTART-"
HEAD_SENTENCES = 50
"""How many sentences are looked at for the column of the tags."""
MOST_WORDS = 100_000
"""Of a sentence: a novel has as many. They are held in memory."""


def resolve(reading: Reading) -> Columns:
    """Fill in the separator and the columns: words first and tags last, or tags first."""
    path, columns = reading.path, reading.columns
    if columns.header:
        raise SettingError("CoNLL files have no header; leave --header out, count columns from 0")
    columns = replace(columns, separator=columns.separator or _guess_separator(reading))
    sentences = records(replace(reading, columns=columns), RowReport(policy=columns.bad_rows))
    head = take_head(
        sentences, HEAD_SENTENCES, lambda words: sum(len(x) for word in words for x in word.cells)
    )
    if not head:
        raise DataError(f"{path} has no sentences; write a word a line, its tag after it")
    line, cells = head[0][0]
    wants_label = reading.labelled or columns.label is not None
    if wants_label and len(cells) == 1:
        raise DataError(
            f"{path}:{line}: there is one column only, {shorten(cells[0])}; write "
            "word and tag separated by a tab or a space, or choose with --separator"
        )
    text, label = _number(columns.text, "text"), _number(columns.label, "label")
    for number in (text, label):
        if number is not None and number >= len(cells):
            raise DataError(
                f"{path}:{line}: there is no column {number}; found the columns 0 to "
                f"{len(cells) - 1}: {', '.join(map(shorten, cells))}"
            )
    if label is None and len(cells) > 1:
        label = _guess_tags(head, text)
    if text is None:
        text = len(cells) - 1 if label == 0 else 0
    return replace(columns, text=str(text), label=str(label) if wants_label else None)


def example(reading: Reading, record: list[Row], report: RowReport) -> TokenExample:
    """Check the tags of a sentence: a bad line makes its sentence bad."""
    text, label = int(reading.columns.text or 0), reading.columns.label
    tags = [] if label is None else [word.cells[int(label)].strip() for word in record]
    try:
        own = to_iob2(tags)
    except DataError:
        word, tag = next(each for each in zip(record, tags, strict=True) if not split_tag(each[1]))
        raise DataError(
            f"{reading.path}:{word.line}: {explain(tag)}; or choose the column of the tags with "
            "--label-column"
        ) from None
    return TokenExample(
        tokens=tuple(word.cells[text] for word in record),
        tags=None if label is None else own,
        line=record[0].line,
    )


def records(reading: Reading, report: RowReport) -> Iterator[list[Row]]:
    """Yield the lines of each sentence."""
    path, separator = reading.path, reading.columns.separator
    spaced = separator in (None, " ")
    words: list[Row] = []
    first: Row | None = None
    bad: DataError | None = None
    size = 0
    end = (0, "")  # a blank line behind the last sentence
    for number, text in itertools.chain(read_lines(path, reading.columns.encoding), [end]):
        line = text.rstrip("\r\n")
        # A line of nothing but white space ends a sentence, but an empty word has a tag beside it.
        if not line.strip() or line.startswith(DOCUMENT_MARK):
            if bad:
                report.skip(bad)
            elif words:
                yield words
            words, bad, size = [], None, 0
            continue
        cells = split(line) if spaced else line.split(separator)
        first = first or Row(number, cells)
        if len(cells) == 1 and len(first.cells) > 1:
            # A real corpus has single lines where spaces stand for the tab.
            cells = split(line)
        if len(cells) != len(first.cells):
            bad = bad or DataError(
                f"{path}:{number}: {len(cells)} columns in {shorten(line)}, but "
                f"{len(first.cells)} in line {first.line}; give every line the same columns"
            )
        words.append(Row(number, cells))
        size += len(text)
        if len(words) > MOST_WORDS or size > LONGEST_LINE:
            raise DataError(
                f"{path}:{words[0].line}: the sentence has more than {len(words) - 1:,} words; "
                "leave an empty line after each sentence"
            )


def _guess_separator(reading: Reading) -> str:
    lines = (line for _, line in read_lines(reading.path, reading.columns.encoding))
    words = (line for line in lines if line.strip() and not line.startswith(DOCUMENT_MARK))
    return "\t" if "\t" in next(words, "") else " "


def _guess_tags(head: list[list[Row]], text: int | None) -> int:
    width = len(head[0][0].cells)
    choices = [number for number in (width - 1, 0) if number != text]
    for number in choices:
        if all(split_tag(word.cells[number].strip()) for words in head for word in words):
            return number
    return choices[0]


def _number(name: str | None, what: str) -> int | None:
    if name is None:
        return None
    if not guessing.is_number(name):
        raise SettingError(
            f"--{what}-column {name!r} cannot name a column of a CoNLL file; give its number from 0"
        )
    return int(name)
