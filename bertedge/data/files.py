"""Open a labelled file: its format, its columns, and the stream of its examples."""

import collections
import hashlib
import os.path
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bertedge.data import (
    conll,
    guessing,
    json_lines,
    label_text,
    parallel,
    plain,
    questions,
    separators,
    tabular,
    workbook,
)
from bertedge.data.example import Columns, Example, Part, Reader, Reading, shorten
from bertedge.data.formats import is_text, settle_format
from bertedge.data.label_map import renamed
from bertedge.data.lines import check_encoding, check_file, unreadable
from bertedge.data.report import BadRows, RowReport
from bertedge.errors import DataError, SettingError, fit
from bertedge.spec import LabelKind, ProblemType, Task

READERS: dict[str, Reader] = {
    "csv": tabular,
    "tsv": tabular,
    workbook.FORMAT: tabular,
    "jsonl": json_lines,
    "conll": conll,
    questions.FORMAT: questions,
    label_text.FORMAT: label_text,
    plain.FORMAT: plain,
    parallel.FORMAT: parallel,
}
_LABELS = {ProblemType.MULTI_LABEL: "labels", ProblemType.REGRESSION: "value"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleFile:
    """A labelled file whose columns are settled; every iteration reads it again."""

    path: Path
    task: Task
    columns: Columns
    """Settled: read with these, the file gives the same examples."""
    pair: bool
    description: str
    """What was settled, for people."""
    problem_type: ProblemType = ProblemType.SINGLE_LABEL
    """Of the labels of texts."""
    findings: str = ""
    """What is left out or read otherwise than written, counted; part of `description` too."""
    label_map: tuple[tuple[str, str], ...] = ()
    """What labels of the file are called instead."""
    rows: bytes | None = None
    """A byte for each example of the file: whether it is one of ours; None: all are."""
    part: Part | None = None
    """What chose `rows`."""

    def __iter__(self) -> Iterator[Example]:
        """Stream the examples; DataError names the file and the line."""
        return self.read(RowReport(policy=self.columns.bad_rows))

    def read(self, report: RowReport) -> Iterator[Example]:
        """Stream the examples and count in `report` what is left out or read otherwise."""
        some = False
        names = dict(self.label_map)
        for number, example in enumerate(self._read(report)):
            some = True
            if self.rows is not None and not self.rows[number]:
                continue
            yield renamed(example, names) if names else example
        if not some and not report.count:
            what = "a header but no rows" if self.columns.header else "no rows"
            if left_out := report.summary():
                raise DataError(f"{self.path} has no row that can be used: {left_out}")
            raise DataError(f"{self.path} has {what}; give at least one labelled row")

    def sha256(self) -> str:
        """Hash the file's bytes; see `hash_examples`."""
        return hash_examples(self.path)

    def _read(self, report: RowReport) -> Iterator[Example]:
        reading = Reading(
            path=self.path, task=self.task, columns=self.columns, problem_type=self.problem_type
        )
        reader = READERS[str(self.columns.format)]
        for record in reader.records(reading, report):
            try:
                example = reader.example(reading, record, report)
            except DataError as error:
                report.skip(error)
                continue
            if example is not None:
                yield example


def read_column(file: ExampleFile, name: str) -> dict[int, str]:
    """Return what stands in any column (or under any key) of the file, by line.

    Raises DataError where there is no such column, SettingError for a format without columns.
    """
    reading = Reading(
        path=file.path, task=file.task, columns=file.columns, problem_type=file.problem_type
    )
    match READERS[str(file.columns.format)]:
        case found if found is tabular:
            return dict(tabular.column(reading, name))
        case found if found is json_lines:
            return dict(json_lines.column(reading, name))
    raise SettingError(
        f"{file.path} has no column {shorten(name)}: its format, {file.columns.format}, has none; "
        "give a table or JSON lines"
    )


def read_all(file: ExampleFile, report: RowReport | None = None) -> Iterator[Example]:
    """Stream the examples; bad rows are raised together, behind the last one."""
    report = report or RowReport(policy=file.columns.bad_rows, collected=True)
    try:
        yield from file.read(report)
    except DataError as error:  # of no single row: nothing behind it can be read
        if not report.count:
            raise
        report.skip(error)
    report.check(file.path)


def open_examples(  # noqa: PLR0913 (what is read, and what of it)
    path: Path,
    task: Task,
    columns: Columns = Columns(),  # noqa: B008 (frozen)
    *,
    problem_type: ProblemType = ProblemType.SINGLE_LABEL,
    labelled: bool = True,
    pair: bool | None = None,
    trained: Columns = Columns(),  # noqa: B008 (frozen)
) -> ExampleFile:
    """Settle how to read `path` and check its head.

    What `columns` leaves open is as in `trained`, the columns that a model was trained on, where
    this file has them; else guessed from the extension, known names and the first rows. It is
    said in the result. With `labelled=False` a label is read only where `columns.label` names it.
    `pair` says whether texts must be pairs (None: as the columns' names suggest).

    Raises DataError for a file that cannot be read so, SettingError for columns that contradict
    the task or the format.
    """
    kind = task.labels_are
    folder = kind is LabelKind.INTENT_AND_TAGS and os.path.isdir(path)  # noqa: PTH112 (never raises)
    if not folder:
        check_file(path)
    named = columns.format in (None, plain.FORMAT) and is_text(path)
    lines = kind is LabelKind.VOCABULARY or (kind is LabelKind.VECTOR and named)
    if labelled and kind is LabelKind.VECTOR and not lines:
        # What can be right of embeddings is how alike two texts are.
        problem_type, pair = ProblemType.REGRESSION, True
    if columns.encoding is not None:
        columns = replace(columns, encoding=check_encoding(columns.encoding))
    reading = Reading(
        path=path,
        task=task,
        columns=columns,
        problem_type=problem_type,
        labelled=labelled,
        pair=True if task.reads_pairs else pair,
        trained=trained,
    )
    if folder or lines:
        reader: Reader = parallel if folder else plain
    else:
        reading = replace(reading, columns=settle_format(reading))
        reader = READERS[str(reading.columns.format)]
    settled = replace(reading, columns=reader.resolve(reading))
    said = (_say(settled), *_left_out(reading, settled), *_notes(reading.columns, settled))
    file = ExampleFile(
        path=path,
        task=task,
        columns=settled.columns,
        pair=settled.columns.pair is not None or settled.columns.format == questions.FORMAT,
        description=fit("; ".join(said)),
        problem_type=problem_type,
    )
    return _check(file)


def _check(file: ExampleFile) -> ExampleFile:
    """Read the head; all of a file of which something may be left out, which is then said."""
    spans = file.task.labels_are is LabelKind.TAGS and file.columns.format == "jsonl"
    counted = spans or file.task.labels_are is LabelKind.SPANS
    report = RowReport(policy=file.columns.bad_rows, collected=True)
    if file.columns.bad_rows is BadRows.ERROR and not counted:
        try:
            next(iter(file))
        except DataError:  # the rows behind it may have more of them
            if file.columns.label is None:
                raise
        else:
            return file
    collections.deque(read_all(file, report), maxlen=0)
    found = report.summary()
    if not found:
        return file
    return replace(file, description=fit(f"{file.description}; {found}"), findings=found)


def _left_out(asked: Reading, settled: Reading) -> list[str]:
    """Return the note that a known second text stays unread, where the first alone is named."""
    partner = guessing.PAIRS.get(guessing.fold(asked.columns.text or ""))
    if partner is None or asked.pair is not None or settled.columns.pair is not None:
        return []
    try:
        found = READERS[str(settled.columns.format)].resolve(replace(asked, pair=True)).pair
    except DataError:  # no other text is there
        return []
    if found is None or guessing.fold(found) != partner:
        return []
    return [f"{shorten(found)} is left out (for pairs of texts: --pair-column {found[:40]})"]


def _notes(asked: Columns, reading: Reading) -> list[str]:
    """Return notes of what was settled otherwise than as usual, or as in the training."""
    found, settled = [], reading.columns
    usual = asked.separator or separators.USUAL.get(str(asked.format))
    if settled.separator not in (None, usual) and settled.format in separators.USUAL:
        found.append(f"columns are separated by {separators.name_of(str(settled.separator))}")
    told, now = asked.named, settled.named
    missing = [
        f"{'second text' if field == 'pair' else field} {shorten(before)}"
        for field, before in reading.trained.named.items()
        if field != "intent"
        and field not in told
        and (field in now or field == "text")
        and not guessing.find((before,), now.get(field))
    ]
    if missing:
        found.append(f"it has not the columns of the training ({', '.join(missing)})")
    return found


def _say(reading: Reading) -> str:
    columns = reading.columns
    match columns.format:
        case questions.FORMAT:
            return "SQuAD JSON, questions " + ("with answers" if columns.label else "alone")
        case label_text.FORMAT:
            return "label from the first word of each line, text from the rest"
        case plain.FORMAT:
            return "plain text, a text a line"
        case parallel.FORMAT:
            names = [path.name for path in parallel.files(reading.path, columns)]
            words = zip(("words", "tags", "intents"), names, strict=False)
            return ", ".join(f"{word} from {name}" for word, name in words)
    text, pair, label = guessing.naming(reading.task).words
    said = {
        "text": text,
        "pair": pair,
        "label": _LABELS.get(reading.problem_type, label),
        "intent": "intent",
    }
    kind = "key" if columns.format == "jsonl" else "column"
    numbered = columns.format == "conll" or columns.header is False
    parts = [
        f"{said[field]} from {kind} {name if numbered else shorten(name)}"
        for field, name in columns.named.items()
        if field in said
    ]
    return ", ".join(parts) + (" (no header)" if columns.header is False else "")


def hash_examples(path: Path) -> str:
    """Return the hash of a file's bytes, in hex; of a folder that of its files' hashes.

    DataError where one is not there or cannot be read.
    """
    try:
        if path.is_dir():
            hashes = [hash_examples(part) for part in parallel.files(path)]
            return hashlib.sha256("".join(hashes).encode()).hexdigest()
        check_file(path)  # a FIFO would block
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None
