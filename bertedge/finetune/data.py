"""The labelled files of a fine-tuning run, read and checked without torch: that takes seconds."""

from dataclasses import dataclass
from pathlib import Path

from bertedge.data import ExampleFile, open_examples
from bertedge.data.label_map import read_label_map
from bertedge.data.labels import survey, with_label_map
from bertedge.finetune.labels import check_labels, hints, settle_labels
from bertedge.finetune.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The labelled files, and the labels that a model will learn."""

    train: ExampleFile
    dev: ExampleFile | None
    labels: tuple[str, ...]
    hints: tuple[str, ...]
    """What may be wrong with them, a line each."""


def open_data(recipe: Recipe) -> Data:
    """Open the files and read them once; a BertedgeError names each mistake."""
    decision = recipe.decision()
    train = _open(recipe, recipe.train)
    rows = survey(train)
    labels = settle_labels(train, rows, decision)
    dev = None
    if recipe.dev:
        dev = check_labels(_open(recipe, recipe.dev, pair=train.pair), labels, decision)
    return Data(train=train, dev=dev, labels=labels, hints=tuple(hints(rows, decision)))


def _open(recipe: Recipe, path: Path, pair: bool | None = None) -> ExampleFile:
    examples = open_examples(
        path, recipe.task, recipe.columns(), problem_type=recipe.problem_type, pair=pair
    )
    return with_label_map(examples, read_label_map(recipe.label_map) if recipe.label_map else {})
