"""Settings of training rows that are changed a little each time they are met."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bertedge.errors import SettingError
from bertedge.fields import setting
from bertedge.spec import LabelKind, ProblemType


class Augmentation(StrEnum):
    """A way to change a text and leave what is right of it."""

    DELETION = "deletion"
    SWAP = "swap"
    MASKED_LM = "masked-lm"
    LABEL_WORDS = "label-words"
    MENTION = "mention"


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """How texts are changed; they are drawn anew in each epoch."""

    augment: tuple[Augmentation, ...] = setting(
        (), "deletion, swap, masked-lm, label-words; of tags mention.", metavar="NAME"
    )
    """Each time a row is met it is left as it is or changed in one of these ways, by chance."""
    augment_share: float = setting(
        0.1, "Share of a text's words that is changed.", metavar="X", gt=0, le=0.9
    )


def check_augmentation(config: Any) -> None:
    """Raise SettingError for changes that a task's labels do not outlive."""
    kind = config.task.labels_are
    tags = config.task.tags_words
    if not config.augment:
        return
    if not tags and kind is not LabelKind.CLASSES:
        raise SettingError(f"augment would change what is right of {config.task}; leave it out")
    refused: dict[Augmentation, str] = {}
    if tags:
        for each in (Augmentation.SWAP, Augmentation.LABEL_WORDS):
            refused[each] = (
                f"{config.task} has a tag for each word; use deletion, mention or masked-lm"
            )
    else:
        refused[Augmentation.MENTION] = "which is for tagged words; texts have no mentions"
    if config.problem_type is ProblemType.REGRESSION:
        refused[Augmentation.LABEL_WORDS] = "but regression has no labels"
    for each in config.augment:
        if each in refused:
            raise SettingError(f"augment is {each}, {refused[each]}")
