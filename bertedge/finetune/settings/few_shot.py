"""Settings of training where every label has few rows."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bertedge.errors import SettingError
from bertedge.fields import setting
from bertedge.spec import LabelKind, PoolingMode, ProblemType

MOST = 64
"""Rows a label, on the mean, up to which there are few."""


class FewShot(StrEnum):
    """What is done with few rows a label, instead of fine-tuning all."""

    NONE = "none"
    HEAD = "head"
    CONTRASTIVE = "contrastive"


@dataclass(frozen=True, kw_only=True)
class FewShotConfig:
    """How a model learns from few rows."""

    few_shot: FewShot | None = setting(
        None,
        "With few rows a label.",
        choices=tuple(FewShot),
        unset=f"by cross-validation up to {MOST} rows a label",
    )
    """head: logistic regression on the embeddings of the base. contrastive: before it the encoder
    draws texts of one label together. none: all is fine-tuned, as where there are many rows."""

    @property
    def learns_from_few(self) -> bool:
        """Whether it is said that not all is fine-tuned."""
        return self.few_shot not in (None, FewShot.NONE)


def check_few_shot(config: Any) -> None:
    """Raise SettingError where there is no label to draw texts together by."""
    if not config.learns_from_few:
        return
    texts = config.task.labels_are is LabelKind.CLASSES
    if not texts or config.problem_type is not ProblemType.SINGLE_LABEL:
        raise SettingError(
            f"few_shot is {config.few_shot}, which is for text-classification with one label a text"
        )
    if config.pooling is PoolingMode.CLS:
        raise SettingError(
            f"few_shot is {config.few_shot}, which reads the mean of the hidden states, "
            "but pooling is cls"
        )
