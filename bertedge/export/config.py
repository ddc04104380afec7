"""What `export` is asked to do."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bertedge.data import Columns
from bertedge.errors import SettingError
from bertedge.export.quantization.target import Target
from bertedge.spec import PoolingMode, Task

OPSETS = (17, 18)
"""17 is the first with LayerNormalization; from 19 on, fusion has not been proven."""
INDEPENDENT_RECIPES = ("static", "outliers-static", "float-nodes-static")
"""Ways to make int8 whose scales are fixed at export: answers do not depend on the batch."""
DEPENDENT_RECIPES = ("dynamic", "outliers", "float-nodes")
"""Ways to make int8 whose scales are taken from each batch; see `quantization.recipes`."""
RECIPES = INDEPENDENT_RECIPES + DEPENDENT_RECIPES

BATCH_TOLERANCE = 1e-5
"""Share of the logits' spread by which a text's logits may move with its batch. Static scales leave
what fp32 sums in another order differ by (at most 1.2e-7 on 1,000 texts of MiniLM); dynamic ones
moved all of these texts, by up to 0.07."""


class BatchEffects(StrEnum):
    """Whether an int8 text's answer may depend on what else is in its batch."""

    AVOID = "avoid"
    """Only where no other recipe passes."""
    ALLOW = "allow"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """The settings of one export; SettingError for values that cannot work."""

    checkpoint: str
    """Directory or hub id."""
    output: Path
    """The bundle to make."""
    task: Task | None = None
    """None: as the checkpoint says."""
    pooling: PoolingMode | None = None
    """Of an embedding; None: as sentence-transformers' files say, else the mean."""
    normalize: bool = True
    """False: embeddings keep their length, whatever those files say."""
    pair: bool = False
    """True where a foreign checkpoint reads pairs; our own say it themselves."""
    quantize: bool = False
    keep_fp32: bool = False
    """Whether the bundle holds the fp32 variant beside the int8 one."""
    gpu: bool = False
    """Whether the bundle holds an fp16 variant for CUDA beside those for the CPU."""
    eval_data: Path | None = None
    """Labelled file; None: the dev file that `training.json` records."""
    columns: Columns = Columns()  # noqa: RUF009 (frozen)
    """How `eval_data` is read."""
    label_map: Mapping[str, str] = field(default_factory=dict)
    """What labels of `eval_data` are called in the model."""
    max_drop: float = 1.0
    """Points of the metric that a variant may lose against the checkpoint."""
    min_agreement: float | None = None
    """Share of labels on which an int8 variant must agree with the checkpoint; None: the
    nearest of the fastest recipes is taken."""
    recipe: str | None = None
    """One way to make int8, in RECIPES; None: all of them, in order."""
    batch_effects: BatchEffects = BatchEffects.AVOID
    target: Target | None = None
    """Processors that int8 weights are made for; None: this machine's kind."""
    calibrate: bool = False
    """Whether a temperature is looked for that makes the checkpoint's scores fit the data."""
    trim_vocab: Path | None = None
    """Corpus whose word pieces are kept; None keeps the vocabulary."""
    tolerance: float = 1e-4
    """Largest difference of an fp32 logit, as a share of the logits' spread."""
    opset: int = OPSETS[0]
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check what the types leave open."""
        if self.opset not in OPSETS:
            raise SettingError(f"--opset is {self.opset}; choose {' or '.join(map(str, OPSETS))}")
        if not (math.isfinite(self.tolerance) and self.tolerance > 0):
            raise SettingError(f"--tolerance is {self.tolerance}; give a number above 0 (1e-4)")
        if not math.isfinite(self.max_drop):
            raise SettingError(f"--max-drop is {self.max_drop}; give points of the metric (1.0)")
        if self.min_agreement is not None and not 0 <= self.min_agreement <= 1:
            raise SettingError(
                f"--min-agreement is {self.min_agreement}; give a share from 0 to 1 (0.99)"
            )
        if self.recipe is not None and self.recipe not in RECIPES:
            raise SettingError(
                f"--recipe-int8 is {self.recipe!r}; choose one of {', '.join(RECIPES)}"
            )
        if not self.quantize and (
            self.recipe or self.batch_effects is not BatchEffects.AVOID or self.target
        ):
            raise SettingError(
                "--recipe-int8, --batch-effects and --target shape an int8 variant; add --quantize"
            )
        if self.batch_effects is BatchEffects.REFUSE and self.recipe in DEPENDENT_RECIPES:
            raise SettingError(
                f"--batch-effects refuse excludes --recipe-int8 {self.recipe}, whose answers "
                f"depend on the batch; choose one of {', '.join(INDEPENDENT_RECIPES)}"
            )
        if self.eval_data is None and (self.columns != Columns() or self.label_map):
            raise SettingError("column options describe --eval-data; give that file too")
