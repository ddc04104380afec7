"""Open a labelled file: its format, its columns, and the stream of its examples."""

import collections
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
)
from bertedge.data.example import Columns, Example, Request, shorten
from bertedge.data.formats import (
    check_columns,
    is_plain,
    settle_format,
    settle_label_separator,
)
from bertedge.data.hashing import hash_examples
from bertedge.data.label_map import renamed
from bertedge.data.lines import check_file
from bertedge.data.report import BadRows, RowReport
from bertedge.errors import DataError, fit
from bertedge.spec import LabelKind, ProblemType, Task


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

    def __iter__(self) -> Iterator[Example]:
        """Stream the examples; DataError names the file and the line."""
        return self.read(RowReport(policy=self.columns.bad_rows))

    def read(self, report: RowReport) -> Iterator[Example]:
        """Stream the examples and count in `report` what is left out or read otherwise."""
        some = False
        names = dict(self.label_map)
        for example in self._read(report):
            some = True
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
        match self.columns.format:
            case "jsonl":
                kind = json_lines.Kind(task=self.task, problem_type=self.problem_type)
                return json_lines.read(self.path, self.columns, kind, report)
            case "conll":
                return conll.read(self.path, self.columns, report)
            case plain.FORMAT:
                return plain.read(self.path, self.columns, report)
            case questions.FORMAT:
                return questions.read(self.path, self.columns, report)
            case parallel.FORMAT:
                return parallel.read(self.path, self.columns, report)
            case label_text.FORMAT:
                return label_text.read(self.path, self.columns, self.problem_type, report)
            case _:
                return tabular.read(self.path, self.columns, self.problem_type, report)


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
    if kind is LabelKind.INTENT_AND_TAGS and os.path.isdir(path):  # noqa: PTH112 (never raises)
        return _open_folder(path, columns, labelled=labelled)
    check_file(path)
    if kind is LabelKind.VOCABULARY or (kind is LabelKind.VECTOR and is_plain(path, columns)):
        return _open_plain(path, task, columns)
    if labelled and kind is LabelKind.VECTOR:
        # What can be right of embeddings is how alike two texts are.
        problem_type, pair = ProblemType.REGRESSION, True
    check_columns(task, columns, pair)
    request = Request(
        task=task, labelled=labelled, pair=pair, problem_type=problem_type, trained=trained
    )
    if kind is LabelKind.SPANS:
        request = replace(request, pair=True)
    columns = settle_label_separator(settle_format(path, task, columns, trained.format), request)
    asked, columns = columns, _resolve(path, columns, request)
    said = (
        _say(request, columns),
        *_left_out(path, asked, columns, request),
        *notes(asked, columns, request),
    )
    file = ExampleFile(
        path=path,
        task=task,
        columns=columns,
        pair=columns.pair is not None or columns.format == questions.FORMAT,
        description=fit("; ".join(said)),
        problem_type=problem_type,
    )
    return _check(file)


def _check(file: ExampleFile) -> ExampleFile:
    """Read the head; all of a file of which something may be left out, which is then said."""
    spans = file.task.labels_are is LabelKind.TAGS and file.columns.format == "jsonl"
    counted = spans or file.task.labels_are is LabelKind.SPANS
    if file.columns.bad_rows is BadRows.ERROR and not counted:
        try:
            next(iter(file))
        except DataError:
            if file.columns.label is not None:
                collections.deque(read_all(file), maxlen=0)
            raise
        return file
    report = RowReport(policy=file.columns.bad_rows, collected=True)
    collections.deque(read_all(file, report), maxlen=0)
    found = report.summary()
    if not found:
        return file
    return replace(file, description=fit(f"{file.description}; {found}"), findings=found)


def _open_folder(path: Path, columns: Columns, *, labelled: bool) -> ExampleFile:
    """Open a folder of parallel files."""
    columns = parallel.resolve(path, columns, labelled=labelled)
    names = [part.name for part in parallel.files(path, columns)]
    words = zip(("words", "tags", "intents"), names, strict=False)
    file = ExampleFile(
        path=path,
        task=Task.of(LabelKind.INTENT_AND_TAGS),
        columns=columns,
        pair=False,
        description=", ".join(f"{word} from {name}" for word, name in words),
    )
    return _check(file)


def _open_plain(path: Path, task: Task, columns: Columns) -> ExampleFile:
    file = ExampleFile(
        path=path,
        task=task,
        columns=plain.resolve(path, columns),
        pair=False,
        description="plain text, a text a line",
    )
    return _check(file)


def _resolve(path: Path, columns: Columns, request: Request) -> Columns:
    match columns.format:
        case "jsonl":
            return json_lines.resolve(path, columns, request)
        case "conll":
            return conll.resolve(path, columns, request)
        case questions.FORMAT:
            return questions.resolve(path, columns, request)
        case label_text.FORMAT:
            return label_text.resolve(path, columns, request)
        case _:
            return tabular.resolve(path, columns, request)


def _left_out(path: Path, asked: Columns, settled: Columns, request: Request) -> list[str]:
    """Return the note that a known second text stays unread, where the first alone is named."""
    partner = guessing.PAIRS.get(guessing.fold(asked.text or ""))
    single = asked.text is not None and settled.pair is None and request.pair is None
    if partner is None or not single or settled.format in ("conll", questions.FORMAT):
        return []
    read = json_lines.names if settled.format == "jsonl" else tabular.names
    found = guessing.find(read(path, settled), partner)
    if found is None:
        return []
    return [f"{shorten(found)} is left out (for pairs of texts: --pair-column {found[:40]})"]


def notes(asked: Columns, settled: Columns, request: Request) -> list[str]:
    """Return notes of what was settled otherwise than as usual, or as in the training."""
    found = []
    usual = asked.separator or separators.USUAL.get(str(asked.format))
    if settled.separator not in (None, usual) and settled.format in separators.USUAL:
        found.append(f"columns are separated by {separators.name_of(str(settled.separator))}")
    trained = request.trained
    names = {
        "text": (asked.text, trained.text, settled.text),
        "second text": (asked.pair, trained.pair, settled.pair),
        "label": (asked.label, trained.label, settled.label),
    }
    missing = [
        f"{what} {shorten(before)}"
        for what, (told, before, now) in names.items()
        if told is None
        and before is not None
        and (now is not None or what == "text")
        and not guessing.find((before,), now)
    ]
    if missing:
        found.append(f"it has not the columns of the training ({', '.join(missing)})")
    return found


def _say(request: Request, columns: Columns) -> str:
    kind = "key" if columns.format == "jsonl" else "column"
    what = {ProblemType.MULTI_LABEL: "labels", ProblemType.REGRESSION: "value"}
    label = what.get(request.problem_type, "label")
    words = {"text": "text", "pair": "second text", "label": label}
    if request.task.tags_words:
        words = {"text": "words", "label": "tags", "intent": "intent"}
    if request.task.labels_are is LabelKind.SPANS:
        words = {"text": "question", "pair": "context", "label": "answers"}
    if columns.format == questions.FORMAT:
        return "SQuAD JSON, " + ("questions with answers" if columns.label else "questions alone")
    if columns.format == label_text.FORMAT:
        return "label from the first word of each line, text from the rest"
    numbered = columns.format == "conll" or columns.header is False
    parts = []
    for field, word in words.items():
        name = {
            "text": columns.text,
            "pair": columns.pair,
            "label": columns.label,
            "intent": columns.intent,
        }[field]
        if name is not None:
            parts.append(f"{word} from {kind} {name if numbered else shorten(name)}")
    return ", ".join(parts) + (" (no header)" if columns.header is False else "")
