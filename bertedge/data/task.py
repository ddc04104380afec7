"""The task that a labelled file is for, where that is clear."""

import itertools
import json
import re
from pathlib import Path

from bertedge.data import formats, guessing, label_text, questions, workbook
from bertedge.data.conll import DOCUMENT_MARK
from bertedge.data.lines import LONGEST_DOCUMENT, check_encoding, check_file, read_lines
from bertedge.data.tags import split_tag
from bertedge.errors import SettingError
from bertedge.spec import LabelKind, Task

_HEAD = 200
"""Lines that are looked at."""
_CHARACTERS = 2**16
"""Of JSON, which are looked at."""
_QUESTIONS = re.compile(r'"(paragraphs|qas)"\s*:\s*\[')
_SPANS = ("entities", "spans", "annotations")
"""Keys of the character spans that annotation tools export."""


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
    task: Task | None = None
    if name == "conll":
        task = Task.of(LabelKind.TAGS)
    elif name == questions.FORMAT:
        task = Task.of(LabelKind.SPANS)
    elif name in ("csv", workbook.FORMAT, label_text.FORMAT):
        task = Task.of(LabelKind.CLASSES)
    elif name == "tsv":
        task = _of_lines(path, encoding)
    elif name == "jsonl":
        task = _of_json(path, encoding)
    if task is None:
        raise SettingError(
            f"--task is missing, and {path} does not show it; choose one of text-classification, "
            "token-classification, intent-slots, question-answering"
        )
    return task


def _of_lines(path: Path, encoding: str | None) -> Task | None:
    """Return the task of lines: words with tags, an empty line between sentences, or a label."""
    lines = [text.rstrip("\r\n") for _, text in itertools.islice(read_lines(path, encoding), _HEAD)]
    words = [line.split() for line in lines if line.strip() and not _is_mark(line)]
    edges = (0, -1)
    tagged = any(
        all(split_tag(cells[edge]) for cells in words)
        and any(cells[edge] != "O" for cells in words)
        for edge in edges
        if words and all(len(cells) > 1 for cells in words)
    )
    if tagged:
        return Task.of(LabelKind.TAGS)
    parted = all(any(mark in line for mark in "\t,;|") for line in lines if line.strip())
    shown = words and (parted or label_text.looks_like(path, encoding))
    return Task.of(LabelKind.CLASSES) if shown else None


def _is_mark(line: str) -> bool:
    return line.startswith(DOCUMENT_MARK)


def _of_json(path: Path, encoding: str | None) -> Task | None:
    if _QUESTIONS.search(_head(path, encoding)):
        return Task.of(LabelKind.SPANS)
    item = _first_object(path, encoding)
    if item is None:
        return None
    names = tuple(item)
    words = [name for name in guessing.known(names, guessing.TOKENS) if _is_list(item[name])]
    tags = [name for name in guessing.known(names, guessing.TAGS) if _is_list(item[name])]
    if any(name in item for name in _SPANS) or _has_spans(item):
        return Task.of(LabelKind.TAGS)
    if tags and "intent" in item:
        return Task.of(LabelKind.INTENT_AND_TAGS)
    if words and tags:
        return Task.of(LabelKind.TAGS)
    if {"question", "context"} <= item.keys() and "answers" in item:
        return Task.of(LabelKind.SPANS)
    texts = guessing.known(names, guessing.TEXTS)
    labels = guessing.known(names, guessing.VALUES)
    return Task.of(LabelKind.CLASSES) if texts and labels else None


def _first_object(path: Path, encoding: str | None) -> dict[str, object] | None:
    """Return the first object of JSON lines, or of a list; None where the head has no whole one."""
    begun = _head(path, encoding).removeprefix("[").lstrip()
    for end in itertools.islice(re.finditer("}", begun), _HEAD):
        try:
            found = json.loads(begun[: end.end()])
        except (ValueError, RecursionError):
            continue
        return found if isinstance(found, dict) else None
    return None


def _head(path: Path, encoding: str | None) -> str:
    text = ""
    for _, line in read_lines(path, encoding, longest=LONGEST_DOCUMENT):
        text += line[:_CHARACTERS]
        if len(text) >= _CHARACTERS:
            break
    return text.strip()


def _has_spans(item: dict[str, object]) -> bool:
    """Return whether labels are places in the text, as annotation tools export them."""
    found = item.get("label", item.get("labels"))
    first = found[0] if isinstance(found, list) and found else found
    return isinstance(first, list | dict) and bool(first)


def _is_list(value: object) -> bool:
    return isinstance(value, list)
