"""Labelled files (CSV, TSV, JSON lines, CoNLL columns; .gz alike) as streams of examples."""

from bertedge.examples.example import Columns, Example, TextExample, TokenExample
from bertedge.examples.files import ExampleFile, open_examples

__all__ = ["Columns", "Example", "ExampleFile", "TextExample", "TokenExample", "open_examples"]
