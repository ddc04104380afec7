"""Several tasks that one encoder is trained for: a config each, alike in all that they share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from bertedge.errors import SettingError, shorten
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.settings.augmentation import AugmentationConfig
from bertedge.finetune.settings.data import DataConfig

TASK_SAMPLING = 0.5

OWN = {
    *(name for kind in (DataConfig, AugmentationConfig) for name in kind.__annotations__),
    *("max_length", "pooling", "calibrate"),
    *("class_weights", "label_smoothing", "focal_gamma", "rdrop_alpha", "mixup_alpha"),
    *("teacher", "distillation_alpha", "distillation_temperature", "distillation_hidden_weight"),
} - {"output", "cache"}
"""The settings that each task has for itself; all others are those of the one training."""

_REFUSED = {
    "auto": "it searches for the settings of one task",
    "folds": "it cross-validates one task",
    "replay": "it trains on a checkpoint of one task",
    "adapt": "pretrain the base on the texts of all tasks first (bertedge pretrain)",
    "unlabelled": "train the model of each task by itself, and teach them (--teacher)",
    "num_virtual_tokens": "they stand in the texts of one task; take --peft lora",
    "freeze": "freeze embeddings or a number of layers instead",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiTaskConfig:
    """The tasks by name, each as it would be trained alone; the name is its checkpoint's too.

    All have the same `output`, which gets a checkpoint for each, and the same of all that is not
    about data, labels or the loss: model, epochs, learning rate … Raises SettingError for values
    that cannot work together.

    Examples:
        >>> from pathlib import Path
        >>> from bertedge.finetune import FinetuneConfig, MultiTaskConfig
        >>> shared = {"model": "bert-base-uncased", "output": Path("runs/both")}
        >>> intent = FinetuneConfig(task="text-classification", train=Path("train.csv"), **shared)
        >>> tags = FinetuneConfig(task="token-classification", train=Path("tags.jsonl"), **shared)
        >>> MultiTaskConfig(tasks={"intent": intent, "tags": tags}).task_sampling
        0.5
    """

    tasks: Mapping[str, FinetuneConfig]
    task_sampling: float = TASK_SAMPLING
    """A task with n rows has a share of the batches in proportion to n to this power: 1 is by rows,
    0 gives all tasks as many."""

    def __post_init__(self) -> None:
        """Check the tasks against each other."""
        if len(self.tasks) < 2:
            found = shorten(", ".join(self.tasks), 40) or "none"
            raise SettingError(f"tasks are two or more, found {found}; one is trained without")
        for name in self.tasks:
            if not _NAME.fullmatch(name):
                raise SettingError(
                    f"{shorten(repr(name), 60)} cannot name a task and its folder; give 1 to 40 "
                    "letters, digits, - or _, no sign first"
                )
        share = self.task_sampling
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise SettingError(
                f"task_sampling is {shorten(repr(share), 40)}; it must be from 0 to 1"
            )
        self._check_shared()

    @property
    def shared(self) -> FinetuneConfig:
        """One of the tasks, for what all have alike."""
        return next(iter(self.tasks.values()))

    @property
    def checkpoints(self) -> dict[str, FinetuneConfig]:
        """The tasks, with the folders of their checkpoints as their outputs."""
        output = self.shared.output
        return {name: replace(own, output=output / name) for name, own in self.tasks.items()}

    @property
    def sources(self) -> tuple[Path | str | None, ...]:
        """All that is read."""
        return tuple(source for own in self.tasks.values() for source in own.sources)

    def _check_shared(self) -> None:
        first, *others = self.tasks
        for each in fields(FinetuneConfig):
            if each.name in OWN:
                continue
            value = getattr(self.tasks[first], each.name)
            for other in others:
                found = getattr(self.tasks[other], each.name)
                if found != value:
                    raise SettingError(
                        f"{each.name} is {shorten(str(value), 60)} for the task {first} and "
                        f"{shorten(str(found), 60)} for {other}, which are trained as one; give "
                        "it once, for all"
                    )
            refused = value == "auto" if each.name == "freeze" else value != each.default
            if each.name in _REFUSED and refused:
                flag = f"--{each.name.replace('_', '-')}"
                flag += " auto" if each.name == "freeze" else ""
                raise SettingError(
                    f"{flag} and several tasks cannot be combined: {_REFUSED[each.name]}"
                )
        if self.shared.model is None:
            raise SettingError(
                "--model is missing; several tasks start from one base, with teachers or without"
            )
