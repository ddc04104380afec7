"""Labelled data (CSV, TSV, JSON lines, CoNLL, SQuAD JSON, folders; .gz alike) as examples."""

from bertedge.data.example import (
    Columns,
    Example,
    GoldAnswer,
    QuestionExample,
    TextExample,
    TokenExample,
)
from bertedge.data.files import ExampleFile, open_examples
from bertedge.data.hashing import hash_examples
from bertedge.data.report import BadRows

__all__ = [
    "BadRows",
    "Columns",
    "Example",
    "ExampleFile",
    "GoldAnswer",
    "QuestionExample",
    "TextExample",
    "TokenExample",
    "hash_examples",
    "open_examples",
]
