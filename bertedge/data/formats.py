"""The format of a labelled file: told or guessed, and fit for the task."""

from dataclasses import replace
from pathlib import Path

from bertedge.data import label_text, questions, targets, workbook
from bertedge.data.example import Columns, Reading
from bertedge.data.guessing import naming
from bertedge.errors import SettingError
from bertedge.spec import LabelKind, ProblemType

FORMATS = (
    *("csv", "tsv", workbook.FORMAT, label_text.FORMAT, "jsonl", "conll"),
    questions.FORMAT,
)
_CONLL = (".conll", ".bio", ".iob", ".iob2", ".bioes", ".iobes", ".bmes", ".bilou")
_EXTENSIONS = {
    ".csv": "csv",
    **dict.fromkeys((".tsv", ".tab"), "tsv"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys(_CONLL, "conll"),
    **dict.fromkeys(workbook.EXTENSIONS, workbook.FORMAT),
}
_UNREAD = (".numbers", ".gsheet", ".parquet", ".feather", ".pages", ".doc", ".docx", ".pdf")
_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}


def settle_format(reading: Reading) -> Columns:
    """Fill in the format and what parts labels, and write separators out.

    The format of the training is that of a file whose extension names none. SettingError for
    columns that contradict the task or the format.
    """
    path, columns, task = reading.path, reading.columns, reading.task
    _check_columns(reading)
    separator = columns.separator
    if separator is not None:
        separator = _SEPARATORS.get(separator, separator)
        if not separator or "\n" in separator or "\r" in separator:
            raise SettingError(
                f"--separator {separator!r} cannot separate columns; give a character, or one of "
                "tab, space, comma, semicolon, pipe"
            )
    name = columns.format or _guess_format(reading)
    if name not in FORMATS:
        raise SettingError(f"--format {name!r} is unknown; choose one of {', '.join(FORMATS)}")
    only = naming(task).json
    if only and name != "jsonl":
        raise SettingError(f"{path} is {name.upper()}, but {only}; convert it")
    tokens = task.tags_words
    if tokens and name == "tsv":
        name, separator = "conll", separator or "\t"
    if tokens and name in ("csv", workbook.FORMAT, label_text.FORMAT):
        raise SettingError(
            f"{path} is {name.upper()}, but words with tags are read from CoNLL columns or JSON "
            "lines; convert it, or say --format conll --separator comma if each line is a word"
        )
    if not tokens and name == "conll":
        raise SettingError(
            f"{path} has CoNLL columns, but texts with labels are read from CSV, TSV or JSON "
            "lines; choose with --format, or --task token-classification"
        )
    if (task.labels_are is LabelKind.SPANS) != (name == questions.FORMAT) and name != "jsonl":
        raise SettingError(
            f"{path} is read as {name}, but questions with answers are read from SQuAD's JSON or "
            "JSON lines, and they alone; choose with --format, or another --task"
        )
    if name == "jsonl" and (separator is not None or columns.header is not None):
        raise SettingError(f"{path} is JSON lines; leave --separator and --header out")
    if name == workbook.FORMAT and (separator is not None or columns.encoding is not None):
        raise SettingError(f"{path} is an Excel workbook; leave --separator and --encoding out")
    if name != workbook.FORMAT and columns.sheet is not None:
        raise SettingError(f"{path} is no Excel workbook ({name}); leave --sheet out")
    parts = _label_separator(reading)
    return replace(columns, format=name, separator=separator, label_separator=parts)


def _check_columns(reading: Reading) -> None:
    """Raise SettingError for columns that the task does not have, or that are not all different."""
    task, pair, told = reading.task, reading.pair, reading.columns.named
    if task.tags_words and (pair or "pair" in told):
        raise SettingError(f"{task} reads single texts; leave --pair-column out")
    if "intent" in told and task.labels_are is not LabelKind.INTENT_AND_TAGS:
        raise SettingError(f"--intent-column is for intent-slots; {task} reads no intents")
    if "pair" in told and pair is False:
        raise SettingError(
            f"a second text is asked for (--pair-column {told['pair']}), but the model reads "
            "single texts; leave it out"
        )
    if len(told) != len(set(told.values())):
        names = ", ".join(told.values())
        raise SettingError(f"the columns {names} are not all different; choose others")


def _label_separator(reading: Reading) -> str | None:
    """Return what parts the labels of a text; SettingError where it has but one."""
    told = reading.columns.label_separator
    if reading.problem_type is ProblemType.MULTI_LABEL:
        if told == "":
            raise SettingError("--label-separator is empty; give a character, such as a comma")
        return targets.SEPARATOR if told is None else _SEPARATORS.get(told, told)
    if told is not None:
        raise SettingError(
            "--label-separator parts the labels of a text that may have several; say "
            f"--problem-type {ProblemType.MULTI_LABEL} too, or leave it out"
        )
    return None


def is_text(path: Path) -> bool:
    """Return whether a file is one of text, by its name."""
    return _extension(path) == ".txt"


def format_of(path: Path) -> str | None:
    """Return the format that a file's extension names; `.txt` is a table here."""
    extension = _extension(path)
    return "tsv" if extension == ".txt" else _EXTENSIONS.get(extension)


def _guess_format(reading: Reading) -> str:
    path, task, encoding = reading.path, reading.task, reading.columns.encoding
    extension = _extension(path)
    if extension == ".txt":
        if task.labels_are is LabelKind.CLASSES and label_text.looks_like(path, encoding):
            return label_text.FORMAT
        return "conll" if task.tags_words else "tsv"
    if task.labels_are is LabelKind.SPANS and extension == ".json":
        return questions.FORMAT if questions.looks_like_document(path, encoding) else "jsonl"
    if extension in _EXTENSIONS:
        return _EXTENSIONS[extension]
    if reading.trained.format in FORMATS:
        return reading.trained.format
    if extension in _UNREAD:
        raise SettingError(f"{path} cannot be read; export the table from its program as CSV UTF-8")
    raise SettingError(
        f"the extension {extension!r} of {path} names no format; choose one with --format: "
        f"{', '.join(FORMATS)}"
    )


def _extension(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
