"""From plain text to a base model: masked-language modelling, continued or from nothing.

The work is imported when it is asked for: a config is made and checked without torch.
"""

from typing import TYPE_CHECKING

from bertedge.lazy import lazy_exports
from bertedge.pretrain.config import PretrainConfig
from bertedge.training.config import Precision

if TYPE_CHECKING:
    from bertedge.pretrain.run import Pretrained, pretrain

__all__ = ["Precision", "PretrainConfig", "Pretrained", "pretrain"]

__getattr__ = lazy_exports(__name__, {"run": ("Pretrained", "pretrain")}, extra="train")
