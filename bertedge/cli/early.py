"""What is checked before torch is imported, so that a mistake is told at once."""

import os
from collections.abc import Mapping
from pathlib import Path

from bertedge.checkpoint.training import read_training
from bertedge.data import Columns, open_examples
from bertedge.data.labels import check_known, with_label_map
from bertedge.data.lines import check_file
from bertedge.spec import Task


def check_labelled(
    path: Path,
    columns: Columns,
    checkpoint: str,
    task: Task | None,
    label_map: Mapping[str, str],
) -> None:
    """Read a labelled file as the local checkpoint reads it that finetune wrote.

    Nothing is known as early of others: of these it is only checked that the file is there.
    """
    # Of a name that no path can have pathlib raises, and os.path says that nothing is there.
    training = read_training(Path(checkpoint)) if os.path.isdir(checkpoint) else None  # noqa: PTH112
    if training is None or task not in (None, training.model.task):
        if not path.is_dir():
            check_file(path)
        return
    examples = open_examples(
        path,
        training.model.task,
        columns,
        problem_type=training.model.rule.problem_type,
        pair=training.model.pair or None,
        trained=training.train.columns,
    )
    check_known(with_label_map(examples, label_map), training.model.labels, training.model.rule)
