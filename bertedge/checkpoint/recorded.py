"""The labelled files of a training, opened again."""

from pathlib import Path

from bertedge.checkpoint.opening import Checkpoint
from bertedge.checkpoint.training import DataFile
from bertedge.data import ExampleFile, open_examples
from bertedge.data.labels import with_label_map
from bertedge.data.split import side_of


def open_recorded(checkpoint: Checkpoint, file: DataFile, path: Path) -> ExampleFile:
    """Open a file of the training, which lies at `path` now, as it was read then."""
    examples = open_examples(
        path,
        checkpoint.model.task,
        file.columns,
        problem_type=checkpoint.model.rule.problem_type,
        pair=checkpoint.model.pair,
    )
    return side_of(with_label_map(examples, file.label_map), file.part)
