"""Labelled data (CSV, TSV, JSON lines, CoNLL, SQuAD JSON, folders; .gz alike) as examples."""

from typing import TYPE_CHECKING

from bertedge.lazy import lazy_exports

if TYPE_CHECKING:
    from bertedge.data.example import (
        Columns,
        Example,
        GoldAnswer,
        Part,
        QuestionExample,
        TextExample,
        TokenExample,
    )
    from bertedge.data.files import ExampleFile, hash_examples, open_examples
    from bertedge.data.report import BadRows

_HOMES = {
    "example": (
        "Columns",
        "Example",
        "GoldAnswer",
        "Part",
        "QuestionExample",
        "TextExample",
        "TokenExample",
    ),
    "files": ("ExampleFile", "hash_examples", "open_examples"),
    "report": ("BadRows",),
}

__all__ = [
    "BadRows",
    "Columns",
    "Example",
    "ExampleFile",
    "GoldAnswer",
    "Part",
    "QuestionExample",
    "TextExample",
    "TokenExample",
    "hash_examples",
    "open_examples",
]

__getattr__ = lazy_exports(__name__, _HOMES)
