"""Settings of self-training: texts without labels, which a first model labels for a second."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertedge.errors import SettingError
from bertedge.fields import setting
from bertedge.spec import LabelKind, ProblemType


@dataclass(frozen=True, kw_only=True)
class SelfTrainingConfig:
    """Which texts a model labels itself, and how sure it must be of them."""

    unlabelled: Path | None = setting(None, "File of texts to label and train on, too.")
    """A model of the labelled rows labels them, and another is trained on both. What scores better
    on the dev data is kept."""
    unlabelled_threshold: float = setting(
        0.9, "Least probability of a text's label.", metavar="X", ge=0, le=1
    )
    """Of several labels, or of tags, of each; texts with less are left out."""
    unlabelled_share: float = setting(
        0.5, "Surest share of each label's texts.", metavar="X", gt=0, le=1
    )
    """The others are left out: probabilities are near 1 after training on few rows, but those that
    are higher are right more often."""


def check_self_training(config: Any) -> None:
    """Raise SettingError for what cannot be labelled so, or not judged."""
    if config.unlabelled is None:
        return
    given = f"unlabelled is {config.unlabelled}"
    if config.task.labels_are not in (LabelKind.CLASSES, LabelKind.TAGS):
        raise SettingError(
            f"{given}, which is for labels of texts and tags of words; {config.task} takes none"
        )
    if config.problem_type is ProblemType.REGRESSION:
        raise SettingError(f"{given}, but of a value no model says how sure it is; leave it out")
    if config.dev is None and config.dev_share == 0:
        raise SettingError(
            f"{given}, and dev data tell whether these texts help; give --dev FILE, or leave "
            "--dev-share out"
        )
