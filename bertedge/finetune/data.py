"""The labelled files of a fine-tuning run, read and checked without torch: that takes seconds."""

from dataclasses import dataclass
from pathlib import Path

from bertedge.examples import ExampleFile, open_examples
from bertedge.finetune.labels import check_labels, find_labels
from bertedge.finetune.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The labelled files, and the labels that a model will learn."""

    train: ExampleFile
    dev: ExampleFile | None
    labels: tuple[str, ...]


def open_data(recipe: Recipe) -> Data:
    """Open the files and read them once; a BertedgeError names each mistake."""
    decision = recipe.decision()
    train = _open(recipe, recipe.train)
    labels = find_labels(train, decision)
    dev = None
    if recipe.dev:
        dev = _open(recipe, recipe.dev, pair=train.pair)
        check_labels(dev, labels, decision)
    return Data(train=train, dev=dev, labels=labels)


def _open(recipe: Recipe, path: Path, pair: bool | None = None) -> ExampleFile:
    return open_examples(
        path, recipe.task, recipe.columns(), problem_type=recipe.problem_type, pair=pair
    )
