"""The texts that `bertedge predict` reads, one after the other, from a file or standard input."""

import codecs
import errno
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bertedge.data import (
    Columns,
    TokenExample,
    formats,
    guessing,
    label_text,
    open_examples,
    separators,
    workbook,
)
from bertedge.data.lines import (
    LONGEST_LINE,
    check_encoding,
    check_file,
    check_length,
    read_lines,
)
from bertedge.errors import DataError, SettingError, first_line
from bertedge.progress import Progress
from bertedge.spec import SINGLE, InputShape, Task, Text

STANDARD_INPUT = (Path("-"), Path("/dev/stdin"))

_TABLES = ("csv", "tsv", workbook.FORMAT)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Numbered lines, and what to call them in messages."""

    name: str
    lines: Iterable[tuple[int, str]]
    shape: InputShape


def group(arguments: tuple[str, ...], shape: InputShape) -> list[Text]:
    """Take the texts of the command line as they are, or two by two, or all as one input."""
    if shape.most == 1:
        return list(arguments)
    if shape.most is None and not shape.accepts(len(arguments)):
        raise SettingError(
            f"this model reads several texts at once, and there is {len(arguments)}; give "
            f"{' and '.join(shape.keys)} in turn"
        )
    if shape.most is None:
        return [arguments]
    if len(arguments) % 2:
        raise SettingError(
            f"this model labels pairs, and {len(arguments)} texts are not pairs; "
            "give the first and the second text of each in turn"
        )
    return list(zip(arguments[::2], arguments[1::2], strict=True))


def read_texts(
    path: Path,
    columns: Columns,
    progress: Progress,
    *,
    shape: InputShape = SINGLE,
    task: Task = Task.TEXT_CLASSIFICATION,
    trained: Columns | None = None,
) -> Iterator[Text]:
    """Stream the texts of a file (`-`: standard input): lines, a table or JSON lines.

    In plain lines an empty one is a text too, so that output line N belongs to input line N; a
    TAB stands between the texts of one input. `trained` are the columns that the model was trained
    on, which this file may have too.
    """
    trained = trained or Columns()
    encoding = None if columns.encoding is None else check_encoding(columns.encoding)
    kind = columns.format or _kind(path)
    if columns.format is None and kind == "lines" and _is_table(path, columns, trained):
        kind = "tsv"
        columns = replace(columns, format=kind)
    if path in STANDARD_INPUT:
        if kind in _TABLES:
            raise SettingError(
                "a table (CSV, TSV, Excel) is read twice, which standard input cannot be; save it "
                "to a file"
            )
        source = _Source(name="standard input", lines=_standard_input(encoding), shape=shape)
    else:
        check_file(path)
        source = _Source(name=str(path), lines=read_lines(path, encoding), shape=shape)
    like = kind == "lines" and columns.format is None and path not in STANDARD_INPUT
    like = like and shape.most == 1 and trained.format == label_text.FORMAT
    if like and label_text.looks_like(path, encoding):
        # The label is no part of the text, where lines are like those of the training.
        kind, columns = label_text.FORMAT, replace(columns, format=label_text.FORMAT)
    if kind == "lines":
        return _lines(source)
    if kind == "jsonl" and (path in STANDARD_INPUT or not _starts_with_object(path, encoding)):
        return _json_lines(source, columns, trained)
    # Whatever the model does with it, what stands in a column is a text; pairs have keys of their
    # own in JSON, by the task.
    if shape.most == 1 or kind != "jsonl":
        task = Task.TEXT_CLASSIFICATION
    if shape.most is None and kind != "jsonl":
        raise SettingError(
            f"{path} is a table, and one input of this model has any number of texts: write JSON "
            "lines, or a .txt file with TABs between the texts"
        )
    pair = shape.least > 1
    examples = open_examples(path, task, columns, labelled=False, pair=pair, trained=trained)
    progress.say(examples.description)
    return (example.input for example in examples if not isinstance(example, TokenExample))


def _kind(path: Path) -> str:
    name = None if formats.is_text(path) else formats.format_of(path)
    return name if name in (*_TABLES, "jsonl") else "lines"


def _is_table(path: Path, columns: Columns, trained: Columns) -> bool:
    """Return whether a file is a table, whatever its name: by options that only tables have.

    Or the first line names the column that the model was trained on, beside another one.
    """
    if any((columns.text, columns.pair, columns.separator, columns.sheet)) or columns.header:
        return True
    if path in STANDARD_INPUT or not path.is_file() or not trained.header:
        return False
    first = next((line for _, line in read_lines(path, columns.encoding)), "")
    parts = [first.strip("\r\n").split(mark) for mark in separators.NAMES]
    return any(len(names) > 1 and guessing.find(names, trained.text) for names in parts)


def _lines(source: _Source) -> Iterator[Text]:
    for number, line in source.lines:
        text = line.rstrip("\r\n")
        if source.shape.most == 1:
            yield text
            continue
        parts = tuple(text.split("\t"))
        if not source.shape.accepts(len(parts)):
            reads = "labels pairs: put one TAB between the two texts"
            if source.shape.most is None:
                reads = "reads several texts at once: put a TAB between them"
            raise DataError(
                f"{source.name}:{number}: there are {len(parts) - 1} TABs in the line; this model "
                f"{reads}"
            )
        yield parts


def _json_lines(source: _Source, columns: Columns, trained: Columns) -> Iterator[Text]:
    """Yield strings, lists of strings, or what objects hold under the columns' names."""
    shape = source.shape
    count = len(shape.keys)
    told, usual = (columns.text, columns.pair)[:count], (trained.text, trained.pair)[:count]
    keys = [name or plain for name, plain in zip(told, shape.keys, strict=True)]
    for number, line in source.lines:
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{source.name}:{number}: this line is not JSON ({error}); write one string or "
                "object a line"
            ) from None
        if isinstance(item, dict):
            own = [
                before if name is None and before is not None and before in item else key
                for name, before, key in zip(told, usual, keys, strict=True)
            ]
            item = [item.get(key) for key in own]
            if shape.most is None and isinstance(item[-1], list):
                item = [*item[:-1], *item[-1]]
        parts = tuple(item) if isinstance(item, list) else (item,)
        if not shape.accepts(len(parts)) or not all(isinstance(part, str) for part in parts):
            raise _misshapen(f"{source.name}:{number}", shape, keys)
        yield parts[0] if shape.most == 1 else parts


def _misshapen(where: str, shape: InputShape, keys: Sequence[str]) -> DataError:
    wanted = " and ".join(map(repr, keys))
    needs, example = {
        1: ("1 text", "a string"),
        2: ("2 texts", "a list of two strings"),
        None: (f"{shape.least} texts or more", "a list of strings"),
    }[shape.most]
    return DataError(
        f"{where}: this model needs {needs} a line: write {example}, or an object with {wanted} "
        "(other keys: --text-column, --pair-column)"
    )


def _starts_with_object(path: Path, encoding: str | None) -> bool:
    first = next((line for _, line in read_lines(path, encoding) if line.strip()), "")
    return first.lstrip().startswith("{")


def _standard_input(encoding: str | None) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(_raw_lines(), 1):
        check_length(f"standard input:{number}", raw)
        line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        try:
            yield number, line.decode(encoding or "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"standard input:{number}: byte 0x{line[error.start]:02x} is not "
                f"{encoding or 'UTF-8'}; convert it with iconv, or say --encoding NAME"
            ) from None


def _raw_lines() -> Iterator[bytes]:
    try:
        while raw := sys.stdin.buffer.readline(LONGEST_LINE + 1):
            yield raw
    except OSError as error:
        why = "it is closed" if error.errno == errno.EBADF else first_line(error)
        raise DataError(f"standard input could not be read: {why}; give a file or a pipe") from None
