"""The task that a labelled file is for, where that is clear."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

from bertedge.data import formats, guessing, label_text, questions, workbook
from bertedge.data.conll import DOCUMENT_MARK
from bertedge.data.json_rows import LONGEST_DOCUMENT
from bertedge.data.lines import check_encoding, check_file, read_lines
from bertedge.data.tags import split_tag
from bertedge.errors import SettingError
from bertedge.spec import LabelKind, Task

_HEAD = 200
"""Lines that are looked at."""
_CHARACTERS = 2**16
"""Of JSON, which are looked at."""
_QUESTIONS = re.compile(r'"(paragraphs|qas)"\s*:\s*\[')
_SPANS = {"entities", "spans", "annotations"}
"""Keys of the character spans that annotation tools export."""
_OF_FORMAT = {
    **dict.fromkeys(("csv", workbook.FORMAT, label_text.FORMAT), LabelKind.CLASSES),
    "conll": LabelKind.TAGS,
    questions.FORMAT: LabelKind.SPANS,
}


def guess_task(path: Path, told: str | None = None, encoding: str | None = None) -> Task:
    """Return the task, by a file's format (`told`, else by its extension) and its first rows.

    Tables hold texts with labels, CoNLL columns words with tags; JSON shows it by its keys.
    SettingError where that is not clear.
    """
    if path.is_dir():
        return Task.of(LabelKind.INTENT_AND_TAGS)
    check_file(path)
    encoding = None if encoding is None else check_encoding(encoding)
    name = told or formats.format_of(path)
    kind = _OF_FORMAT.get(str(name))
    if name == "tsv":
        kind = _of_lines(path, encoding)
    elif name == "jsonl":
        kind = _of_json(path, encoding)
    if kind is None:
        raise SettingError(
            f"--task is missing, and {path} does not show it; choose one of "
            f"{', '.join(task for task in Task if task.needs_labels)}"
        )
    return Task.of(kind)


def _of_lines(path: Path, encoding: str | None) -> LabelKind | None:
    """Return the kind of lines: words with tags, an empty line between sentences, or a label."""
    head = [text for _, text in itertools.islice(read_lines(path, encoding), _HEAD)]
    lines = [line for line in head if line.strip()]
    words = [line.split() for line in lines if not line.startswith(DOCUMENT_MARK)]
    if words and all(len(cells) > 1 for cells in words):
        for edge in (0, -1):
            tags = [cells[edge] for cells in words]
            if all(map(split_tag, tags)) and set(tags) != {"O"}:
                return LabelKind.TAGS
    parted = all(any(mark in line for mark in "\t,;|") for line in lines)
    shown = words and (parted or label_text.looks_like(path, encoding))
    return LabelKind.CLASSES if shown else None


def _of_json(path: Path, encoding: str | None) -> LabelKind | None:
    head = ""
    for _, line in read_lines(path, encoding, longest=LONGEST_DOCUMENT):
        head += line[:_CHARACTERS]
        if len(head) >= _CHARACTERS:
            break
    if _QUESTIONS.search(head):
        return LabelKind.SPANS
    item = _first_object(head)
    lists = [name for name, value in item.items() if isinstance(value, list)]
    tagged = guessing.known(lists, guessing.TAGS)
    if item.keys() & _SPANS or _has_spans(item):
        return LabelKind.TAGS
    if tagged and "intent" in item:
        return LabelKind.INTENT_AND_TAGS
    if tagged and guessing.known(lists, guessing.TOKENS):
        return LabelKind.TAGS
    if {"question", "context", "answers"} <= item.keys():
        return LabelKind.SPANS
    for kind, naming in guessing.NAMING.items():
        others = guessing.known(tuple(item), naming.pair)
        if others and guessing.known(tuple(item), naming.text):
            return kind
    texts, labels = (guessing.known(tuple(item), n) for n in (guessing.TEXTS, guessing.VALUES))
    return LabelKind.CLASSES if texts and labels else None


def _first_object(head: str) -> dict[str, Any]:
    """Return the first object of JSON lines, or of a list; an empty one where there is none."""
    try:
        found, _ = json.JSONDecoder().raw_decode(head.strip().removeprefix("[").lstrip())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _has_spans(item: dict[str, Any]) -> bool:
    """Return whether labels are places in the text, as annotation tools export them."""
    found = item.get("label", item.get("labels"))
    first = found[0] if isinstance(found, list) and found else found
    return isinstance(first, list | dict) and bool(first)
