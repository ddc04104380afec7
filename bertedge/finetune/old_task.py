"""What a finished checkpoint knows already: its labels, its data, and rows to ask it again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bertedge import checkpoint as checkpoints
from bertedge.checkpoint.opening import Checkpoint
from bertedge.checkpoint.recorded import open_recorded
from bertedge.data import Columns, ExampleFile, hash_examples, open_examples
from bertedge.data.label_map import read_label_map
from bertedge.data.labels import check_known, with_label_map
from bertedge.data.split import split
from bertedge.errors import CheckpointError, DataError
from bertedge.finetune.config import FinetuneConfig
from bertedge.joint_labels import PREFIX, has_intents

ASKED_SHARE = 0.1
"""Of the old rows, held out where the old checkpoint names no dev data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldTask:
    """A checkpoint that is trained on, and its data."""

    checkpoint: Checkpoint
    replayed: ExampleFile
    share: float
    """How many of its rows an epoch has, for each new one."""
    asked: ExampleFile | None
    """Rows that are never replayed: what they score tells what is forgotten. None: there are no
    such."""
    note: str
    """What the asked rows are."""


def open_old_task(config: FinetuneConfig, *, pair: bool) -> OldTask:
    """Open the model and the file that it was trained on; a BertedgeError names each mistake."""
    assert config.model is not None and config.replay is not None
    checkpoint = checkpoints.open_checkpoint(config.model, config.task)
    spec, training = checkpoint.model, checkpoint.training
    if spec.rule.problem_type is not config.problem_type:
        raise CheckpointError(
            f"{config.model} cannot go on with this task: its problem_type is "
            f"{spec.rule.problem_type}, not {config.problem_type}"
        )
    if spec.pair != pair:
        has, reads = ("pairs of texts" if each else "single texts" for each in (pair, spec.pair))
        raise CheckpointError(
            f"{config.train} has {has}, but {config.model} reads {reads}; train a model of its own"
        )
    recorded = training.train if training else None
    if recorded is None or hash_examples(config.replay) != recorded.sha256:
        old = open_examples(
            config.replay,
            config.task,
            config.columns(),
            problem_type=config.problem_type,
            pair=spec.pair,
            trained=recorded.columns if recorded else Columns(),
        )
        old = with_label_map(old, read_label_map(config.label_map) if config.label_map else {})
        old, part = check_known(old, spec.labels, spec.rule), None
    else:
        old = open_recorded(checkpoint, replace(recorded, part=None), config.replay)
        part = recorded.part
    asked = None if part else _old_dev(checkpoint)
    if asked is not None:
        return OldTask(
            checkpoint=checkpoint,
            replayed=old,
            share=config.replay_share,
            asked=asked,
            note=f"{asked.path.name}, the dev data of {checkpoint.name}",
        )
    share, seed = (part.share, part.seed) if part else (ASKED_SHARE, config.seed)
    sides = split(old, share, seed)
    return OldTask(
        checkpoint=checkpoint,
        replayed=sides.train if sides else old,
        share=config.replay_share,
        asked=sides.held_out if sides else None,
        note=f"{sides.held_out_rows:,} rows of {old.path.name} that are not replayed"
        if sides
        else "nothing: no row can be held out",
    )


def unite_labels(old: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of both, the old ones first; of intents and tags each so."""
    labels = [*old, *(label for label in new if label not in set(old))]
    if has_intents(labels):
        labels.sort(key=lambda label: not label.startswith(PREFIX))
    return tuple(labels)


def _old_dev(checkpoint: Checkpoint) -> ExampleFile | None:
    """Open the dev data of the old training; None where they are not there any more."""
    dev = checkpoint.training.dev if checkpoint.training else None
    if dev is None:
        return None
    try:
        return open_recorded(checkpoint, dev, dev.locate(checkpoint.folder))
    except DataError:
        return None
