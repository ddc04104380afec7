"""CoNLL columns: a word a line, an empty line after each sentence."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bertedge.data import guessing
from bertedge.data.example import Columns, Request, TokenExample, shorten
from bertedge.data.lines import LONGEST_LINE, Row, read_lines, take_head
from bertedge.data.report import RowReport
from bertedge.data.tags import TagError, looks_like_tag, split_tag, to_iob2
from bertedge.errors import DataError, SettingError

DOCUMENT_MARK = "-DOCSTART-"
HEAD_SENTENCES = 50
"""How many sentences are looked at for the column of the tags."""
MOST_WORDS = 100_000
"""Of a sentence: a novel has as many. They are held in memory."""


def resolve(path: Path, columns: Columns, request: Request) -> Columns:
    """Fill in the separator and the columns: words first and tags last, or tags first."""
    if columns.header:
        raise SettingError("CoNLL files have no header; leave --header out, count columns from 0")
    columns = replace(
        columns, separator=columns.separator or _guess_separator(path, columns.encoding)
    )
    report = RowReport(policy=columns.bad_rows)
    sentences = _sentences(path, columns, report)
    head = take_head(sentences, HEAD_SENTENCES, lambda words: sum(map(_size, words)))
    if not head:
        raise DataError(f"{path} has no sentences; write a word a line, its tag after it")
    first = head[0][0]
    width = len(first.cells)
    wants_label = request.labelled or columns.label is not None
    if wants_label and width == 1:
        raise DataError(
            f"{path}:{first.line}: there is one column only, {shorten(first.cells[0])}; write "
            "word and tag separated by a tab or a space, or choose with --separator"
        )
    text, label = _number(columns.text, "text"), _number(columns.label, "label")
    for number in (text, label):
        if number is not None and number >= width:
            raise DataError(
                f"{path}:{first.line}: there is no column {number}; found the columns 0 to "
                f"{width - 1}: {', '.join(shorten(cell) for cell in first.cells)}"
            )
    if label is None and width > 1:
        label = _guess_tags(head, text)
    if text is None:
        text = width - 1 if label == 0 else 0
    return replace(columns, text=str(text), label=str(label) if wants_label else None)


def read(path: Path, columns: Columns, report: RowReport) -> Iterator[TokenExample]:
    """Yield the sentences; `columns` comes from `resolve`. A bad line makes its sentence bad."""
    text = int(columns.text or 0)
    label = None if columns.label is None else int(columns.label)
    for words in _sentences(path, columns, report):
        tokens = tuple(word.cells[text] for word in words)
        try:
            tags = None if label is None else to_iob2(_tags(path, words, label))
        except DataError as error:
            report.skip(error)
            continue
        yield TokenExample(tokens=tokens, tags=tags, line=words[0].line)


def _tags(path: Path, words: list[Row], label: int) -> Iterator[str]:
    for word in words:
        tag = word.cells[label].strip()
        try:
            split_tag(tag)
        except TagError as error:
            other = "; or choose the column of the tags with --label-column"
            raise DataError(f"{path}:{word.line}: {error}{other}") from None
        yield tag


def _sentences(path: Path, columns: Columns, report: RowReport) -> Iterator[list[Row]]:
    separator = columns.separator
    words: list[Row] = []
    first: Row | None = None
    bad: DataError | None = None
    size = 0
    for number, text in read_lines(path, columns.encoding):
        line = text.rstrip("\r\n")
        # A line of nothing but white space ends a sentence, but an empty word has a tag beside it.
        if not line.strip() or line.startswith(DOCUMENT_MARK):
            if bad:
                report.skip(bad)
            elif words:
                yield words
            words, bad, size = [], None, 0
            continue
        word = Row(number, _split(line, separator))
        if first is None:
            first = word
        if len(word.cells) == 1 and len(first.cells) > 1:
            # A real corpus has single lines where spaces stand for the tab.
            word = Row(number, _split(line, " "))
        if len(word.cells) != len(first.cells):
            bad = bad or DataError(
                f"{path}:{number}: {len(word.cells)} columns in {shorten(line)}, but "
                f"{len(first.cells)} in line {first.line}; give every line the same columns"
            )
        words.append(word)
        size += len(text)
        if len(words) > MOST_WORDS or size > LONGEST_LINE:
            raise DataError(
                f"{path}:{words[0].line}: the sentence has more than {len(words) - 1:,} words; "
                "leave an empty line after each sentence"
            )
    if bad:
        report.skip(bad)
    elif words:
        yield words


def _size(word: Row) -> int:
    return sum(map(len, word.cells))


def _split(line: str, separator: str | None) -> list[str]:
    if separator in (None, " "):
        # Not str.split: it also splits at no-break and ideographic spaces, which are words.
        return re.split(r"[ \t]+", line.strip(" \t"))
    return line.split(separator)


def _guess_separator(path: Path, encoding: str | None) -> str:
    for _, line in read_lines(path, encoding):
        if line.strip() and not line.startswith(DOCUMENT_MARK):
            return "\t" if "\t" in line else " "
    return " "


def _guess_tags(head: list[list[Row]], text: int | None) -> int:
    width = len(head[0][0].cells)
    choices = [number for number in (width - 1, 0) if number != text]
    for number in choices:
        if all(looks_like_tag(word.cells[number].strip()) for words in head for word in words):
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
