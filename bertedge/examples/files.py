"""Open a labelled file: its format, its columns, and the stream of its examples."""

import os.path
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bertedge.errors import DataError, SettingError
from bertedge.examples import conll, json_lines, parallel, questions, tabular, targets
from bertedge.examples.example import Columns, Example, Request, TextExample
from bertedge.examples.hashing import hash_examples
from bertedge.examples.lines import check_file, read_lines
from bertedge.tasks import ProblemType, Task

PLAIN = "text"
SQUAD = "squad"
FORMATS = ("csv", "tsv", "jsonl", "conll", SQUAD)
_EXTENSIONS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bioes": "conll",
}
_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleFile:
    """A labelled file whose columns are settled; every iteration reads it again."""

    path: Path
    task: Task
    columns: Columns
    """Settled: read with these, the file gives the same examples."""
    pair: bool
    said: str
    """What was settled, for people."""
    problem_type: ProblemType = ProblemType.SINGLE_LABEL
    """Of the labels of texts."""

    def __iter__(self) -> Iterator[Example]:
        """Stream the examples; DataError names the file and the line."""
        some = False
        for example in self._read():
            some = True
            yield example
        if not some:
            what = "a header but no rows" if self.columns.header else "no rows"
            raise DataError(f"{self.path} has {what}; give at least one labelled row")

    def sha256(self) -> str:
        """Hash the file's bytes; see `hash_examples`."""
        return hash_examples(self.path)

    def _read(self) -> Iterator[Example]:
        if self.columns.format == "jsonl":
            return json_lines.read(self.path, self.columns, self.task, self.problem_type)
        if self.columns.format == PLAIN:
            return _read_plain(self.path)
        if self.columns.format == SQUAD:
            return questions.read(self.path, labelled=self.columns.label is not None)
        if self.columns.format == "conll":
            return conll.read(self.path, self.columns)
        if self.columns.format == parallel.FORMAT:
            return parallel.read(self.path, self.columns)
        return tabular.read(self.path, self.columns, self.problem_type)


def open_examples(
    path: Path,
    task: Task,
    columns: Columns = Columns(),  # noqa: B008 (frozen)
    *,
    problem_type: ProblemType = ProblemType.SINGLE_LABEL,
    labelled: bool = True,
    pair: bool | None = None,
) -> ExampleFile:
    """Settle how to read `path` and check its head.

    What `columns` leaves open is guessed from the extension and from known names, and said in
    the result. With `labelled=False` a label is read only where `columns.label` names it. `pair`
    says whether texts must be pairs (None: as the columns' names suggest).

    Raises DataError for a file that cannot be read so, SettingError for columns that contradict
    the task or the format.
    """
    if task is Task.INTENT_SLOTS and os.path.isdir(path):  # noqa: PTH112 (never raises)
        return _open_folder(path, columns, labelled=labelled)
    check_file(path)
    if task is Task.FILL_MASK or (task is Task.FEATURE_EXTRACTION and _is_plain(path, columns)):
        return _open_plain(path, task, columns)
    if (
        labelled and task is Task.FEATURE_EXTRACTION
    ):  # what can be right of it is how alike two texts are
        problem_type, pair = ProblemType.REGRESSION, True
    _check_columns(task, columns, pair)
    request = Request(task=task, labelled=labelled, pair=pair, problem_type=problem_type)
    if task is Task.QUESTION_ANSWERING:
        request = replace(request, pair=True)
    columns = _settle_label_separator(_settle_format(path, task, columns), request)
    if columns.format == "jsonl":
        columns = json_lines.resolve(path, columns, request)
    elif columns.format == SQUAD:
        columns = _settle_squad(path, columns, request)
    elif columns.format == "conll":
        columns = conll.resolve(path, columns, request)
    else:
        columns = tabular.resolve(path, columns, request)
    file = ExampleFile(
        path=path,
        task=task,
        columns=columns,
        pair=columns.pair is not None or columns.format == SQUAD,
        said=_say(request, columns),
        problem_type=problem_type,
    )
    next(iter(file))
    return file


def _is_plain(path: Path, columns: Columns) -> bool:
    return columns.format in (None, PLAIN) and _extension(path) == ".txt"


def _open_folder(path: Path, columns: Columns, *, labelled: bool) -> ExampleFile:
    """Open a folder of parallel files."""
    columns = parallel.resolve(path, columns, labelled=labelled)
    names = [part.name for part in parallel.files(path, columns)]
    words = zip(("words", "tags", "intents"), names, strict=False)
    file = ExampleFile(
        path=path,
        task=Task.INTENT_SLOTS,
        columns=columns,
        pair=False,
        said=", ".join(f"{word} from {name}" for word, name in words),
    )
    next(iter(file))
    return file


def _open_plain(path: Path, task: Task, columns: Columns) -> ExampleFile:
    """Open plain text, in which every line that is not blank is an example of its own words."""
    if columns not in (Columns(), Columns(format=PLAIN)):
        raise SettingError(f"{path} is read as plain text, which has no columns; leave them out")
    file = ExampleFile(
        path=path,
        task=task,
        columns=Columns(format=PLAIN),
        pair=False,
        said="plain text, a text a line",
    )
    next(iter(file))
    return file


def _read_plain(path: Path) -> Iterator[Example]:
    for number, line in read_lines(path):
        if text := line.strip():
            yield TextExample(text=text, pair=None, label=None, line=number)


def _check_columns(task: Task, columns: Columns, pair: bool | None) -> None:
    if task.tags_words and (pair or columns.pair is not None):
        raise SettingError(f"{task} reads single texts; leave --pair-column out")
    if columns.intent is not None and task is not Task.INTENT_SLOTS:
        raise SettingError(f"--intent-column is for {Task.INTENT_SLOTS}; {task} reads no intents")
    if columns.pair is not None and pair is False:
        raise SettingError(
            f"a second text is asked for (--pair-column {columns.pair}), but the model reads "
            "single texts; leave it out"
        )
    named = (columns.text, columns.pair, columns.label, columns.intent)
    told = [name for name in named if name is not None]
    if len(told) != len(set(told)):
        raise SettingError(f"the columns {', '.join(told)} are not all different; choose others")


def _settle_format(path: Path, task: Task, columns: Columns) -> Columns:
    separator = columns.separator
    if separator is not None:
        separator = _SEPARATORS.get(separator, separator)
        if not separator or "\n" in separator or "\r" in separator:
            raise SettingError(
                f"--separator {separator!r} cannot separate columns; give a character, or one of "
                "tab, space, comma, semicolon, pipe"
            )
    name = columns.format or _guess_format(path, task)
    if name not in FORMATS:
        raise SettingError(f"--format {name!r} is unknown; choose one of {', '.join(FORMATS)}")
    if task is Task.INTENT_SLOTS and name != "jsonl":
        raise SettingError(
            f"{path} is {name.upper()}, but intents and slots are read from JSON lines, or from a "
            f"folder with {parallel.WORDS}, {parallel.TAGS} and {parallel.INTENTS}; convert it"
        )
    tokens = task.tags_words
    if tokens and name == "tsv":
        name, separator = "conll", separator or "\t"
    if tokens and name == "csv":
        raise SettingError(
            f"{path} is CSV, but words with tags are read from CoNLL columns or JSON lines; "
            "convert it, or say --format conll --separator comma if each line is a word"
        )
    if not tokens and name == "conll":
        raise SettingError(
            f"{path} has CoNLL columns, but texts with labels are read from CSV, TSV or JSON "
            "lines; choose with --format, or --task token-classification"
        )
    if (task is Task.QUESTION_ANSWERING) != (name == SQUAD) and name != "jsonl":
        raise SettingError(
            f"{path} is read as {name}, but questions with answers are read from SQuAD's JSON or "
            "JSON lines, and they alone; choose with --format, or another --task"
        )
    if name == "jsonl" and (separator is not None or columns.header is not None):
        raise SettingError(f"{path} is JSON lines; leave --separator and --header out")
    return replace(columns, format=name, separator=separator)


def _settle_squad(path: Path, columns: Columns, request: Request) -> Columns:
    settled = Columns(format=SQUAD, label="answers" if request.labelled else None)
    if columns not in (settled, Columns(format=SQUAD), Columns(format=SQUAD, label="answers")):
        raise SettingError(f"{path} is SQuAD JSON, which names its own fields; leave columns out")
    return settled


def _settle_label_separator(columns: Columns, request: Request) -> Columns:
    told = columns.label_separator
    if request.problem_type is ProblemType.MULTI_LABEL:
        separator = targets.SEPARATOR if told is None else _SEPARATORS.get(told, told)
        if separator:
            return replace(columns, label_separator=separator)
        raise SettingError("--label-separator is empty; give a character, such as a comma")
    if told is not None:
        raise SettingError(
            "--label-separator parts the labels of a text that may have several; say "
            f"--problem-type {ProblemType.MULTI_LABEL} too, or leave it out"
        )
    return columns


def _guess_format(path: Path, task: Task) -> str:
    extension = _extension(path)
    if extension == ".txt":
        return "conll" if task.tags_words else "tsv"
    if task is Task.QUESTION_ANSWERING and extension == ".json":
        return SQUAD if questions.looks_like_document(path) else "jsonl"
    if extension in _EXTENSIONS:
        return _EXTENSIONS[extension]
    raise SettingError(
        f"the extension {extension!r} of {path} names no format; choose one with --format: "
        f"{', '.join(FORMATS)}"
    )


def _extension(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _say(request: Request, columns: Columns) -> str:
    kind = "key" if columns.format == "jsonl" else "column"
    what = {ProblemType.MULTI_LABEL: "labels", ProblemType.REGRESSION: "value"}
    label = what.get(request.problem_type, "label")
    words = {"text": "text", "pair": "second text", "label": label}
    if request.task.tags_words:
        words = {"text": "words", "label": "tags", "intent": "intent"}
    if request.task is Task.QUESTION_ANSWERING:
        words = {"text": "question", "pair": "context", "label": "answers"}
    if columns.format == SQUAD:
        return "SQuAD JSON, " + ("questions with answers" if columns.label else "questions alone")
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
            parts.append(f"{word} from {kind} {name if numbered else repr(name)}")
    return ", ".join(parts) + (" (no header)" if columns.header is False else "")
