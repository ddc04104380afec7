"""From a labelled file and a base model to a fine-tuned checkpoint.

The work is imported when it is asked for: a config is made and checked without torch.
"""

from typing import TYPE_CHECKING

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.multi_task_config import MultiTaskConfig
from bertedge.finetune.settings.regularization import ClassWeights
from bertedge.lazy import lazy_exports
from bertedge.training.config import Precision

if TYPE_CHECKING:
    from bertedge.finetune.multi_task import finetune_tasks
    from bertedge.finetune.run import Finetuned, finetune

__all__ = [
    "ClassWeights",
    "FinetuneConfig",
    "Finetuned",
    "MultiTaskConfig",
    "Precision",
    "finetune",
    "finetune_tasks",
]

__getattr__ = lazy_exports(
    __name__,
    {"run": ("Finetuned", "finetune"), "multi_task": ("finetune_tasks",)},
    extra="train",
)
