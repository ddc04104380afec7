"""One module a task, imported when it is needed; `bertedge.tasks.contract` says what it holds."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bertedge.errors import SettingError
from bertedge.spec import Task

if TYPE_CHECKING:
    from bertedge.tasks.contract import TaskModule, TrainableTask

__all__ = ["find_task", "task_module", "trainable_task"]


@functools.cache
def task_module(task: Task) -> "TaskModule":
    """Return the module that does all of a task: the one place that turns its name into code."""
    match task:
        case Task.FILL_MASK:
            from bertedge.tasks import fill_mask

            return fill_mask
        case Task.FEATURE_EXTRACTION:
            from bertedge.tasks import feature_extraction

            return feature_extraction
        case _:
            return trainable_task(task)


def trainable_task(task: Task) -> "TrainableTask":
    """Return the module of a task that `finetune` trains; SettingError for the other two."""
    match task:
        case Task.TEXT_CLASSIFICATION:
            from bertedge.tasks import text_classification

            return text_classification
        case Task.TOKEN_CLASSIFICATION:
            from bertedge.tasks import token_classification

            return token_classification
        case Task.INTENT_SLOTS:
            from bertedge.tasks import intent_slots

            return intent_slots
        case Task.QUESTION_ANSWERING:
            from bertedge.tasks import question_answering

            return question_answering
        case Task.MULTIPLE_CHOICE:
            from bertedge.tasks import multiple_choice

            return multiple_choice
        case Task.FILL_MASK:
            raise SettingError("task is fill-mask, which needs no labels: use bertedge pretrain")
        case Task.FEATURE_EXTRACTION:
            raise SettingError(
                "task is feature-extraction, which needs no training: export any encoder with "
                "bertedge export BASE --task feature-extraction"
            )


def find_task(architectures: Sequence[str]) -> Task | None:
    """Return the task whose head an architecture has, of a checkpoint's config; None: no head."""
    for name in architectures:
        for task in Task:
            if name.endswith(task_module(task).HEADS):
                return task
    return None
