"""The command to type next, with the paths of this run."""

import shlex
from pathlib import Path

from bertedge.spec import Task


def after_pretraining(base: Path) -> str:
    """Fine-tune the base model."""
    output = _sibling(base, "runs", "finetuned")
    return shlex.join(
        ["bertedge", "finetune", "--train", "train.csv", "--model", str(base), "--output", output]
    )


def after_training(checkpoint: str) -> str:
    """Export the checkpoint."""
    output = _sibling(Path(checkpoint), "bundles", "bundle")
    return shlex.join(["bertedge", "export", checkpoint, "--output", output, "--quantize"])


def after_export(bundle: str, task: Task, *, pair: bool) -> str:
    """Predict with the bundle."""
    texts = ["first text", "second text"] if pair else ["a text"]
    match task:
        case Task.QUESTION_ANSWERING:
            texts = ["a question", "the text that answers it"]
        case Task.FILL_MASK:
            texts = ["a [MASK] text"]
    quoted = " ".join(f'"{text}"' for text in texts)
    return f"{shlex.join(['bertedge', 'predict', bundle])} {quoted}"


def _sibling(path: Path, folder: str, suffix: str) -> str:
    """Name an output: bundles/mine for runs/mine, mine-bundle for mine."""
    parent = path.parent
    if parent.name in ("runs", "bases", "bundles"):
        return str(parent.parent / folder / path.name)
    return str(parent / f"{path.name}-{suffix}")
