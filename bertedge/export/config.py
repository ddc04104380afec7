"""What `export` is asked to do."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bertedge.columns import Columns
from bertedge.errors import SettingError
from bertedge.fields import setting, validate
from bertedge.runtime.machine import cpu_flags
from bertedge.spec import Activation, PoolingMode, Task

OPSETS = (17, 18)
"""17 is the first with LayerNormalization; from 19 on, fusion has not been proven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A way from a float graph to an int8 one; weights are always per channel."""

    static: bool = False
    """Scales are found on calibration texts, once; else one a tensor for each batch."""
    outliers: bool = False
    """Outlying channels are taken out of the way first."""
    float_nodes: bool = False
    """The few most damaging products stay in float."""


RECIPES = {
    "static": Recipe(static=True),
    "outliers-static": Recipe(outliers=True, static=True),
    "float-nodes-static": Recipe(outliers=True, static=True, float_nodes=True),
    "dynamic": Recipe(),
    "outliers": Recipe(outliers=True),
    "float-nodes": Recipe(outliers=True, float_nodes=True),
}
INDEPENDENT_RECIPES = tuple(name for name, recipe in RECIPES.items() if recipe.static)
"""Those whose scales are fixed at export: answers do not depend on the batch."""
DEPENDENT_RECIPES = tuple(name for name, recipe in RECIPES.items() if not recipe.static)

BATCH_TOLERANCE = 1e-5
"""Share of the logits' spread by which a text's logits may move with its batch. Static scales leave
what fp32 sums in another order differ by (at most 1.2e-7 on 1,000 texts of MiniLM); dynamic ones
moved all of these texts, by up to 0.07."""

_VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}


class Target(StrEnum):
    """A kind of processor that int8 weights are made for, by its products of 8 bits."""

    X86_VNNI = "x86-vnni"
    X86_AVX2 = "x86-avx2"
    """Adds pairs of u8 x s8 products in 16 bits, which saturate: weights get 7 bits."""
    ARM64 = "arm64"

    @property
    def reduced_range(self) -> bool:
        """Whether weights must stay within -64 to 64."""
        return self is Target.X86_AVX2


def this_machine() -> Target:
    """Return this machine's kind; an x86 without a VNNI flag is taken to have none."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return Target.ARM64
    return Target.X86_AVX2 if _VNNI.isdisjoint(cpu_flags()) else Target.X86_VNNI


class Exporter(StrEnum):
    """What makes the fp32 graph of a checkpoint."""

    OPTIMUM = "optimum"
    """Optimum's exporter and onnxruntime's fusion."""
    DIRECT = "direct"
    """bertedge's own builder, from config.json and the weights: it needs neither of them."""


class BatchEffects(StrEnum):
    """Whether an int8 text's answer may depend on what else is in its batch."""

    AVOID = "avoid"
    """Only where no other recipe passes."""
    ALLOW = "allow"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """The settings of one export; SettingError for values that cannot work.

    Examples:
        >>> from pathlib import Path
        >>> from bertedge.export import ExportConfig
        >>> config = ExportConfig(checkpoint="runs/mine", output=Path("bundles/mine"))
        >>> config.max_drop
        1.0
    """

    checkpoint: str
    """Directory or hub id."""
    output: Path
    """The bundle to make."""
    quantize: bool = setting(False, "int8 instead of fp32.")
    keep_fp32: bool = setting(False, "With --quantize: both variants.")
    """Whether the bundle holds the fp32 variant beside the int8 one."""
    gpu: bool = setting(False, "An fp16 variant for CUDA beside those for the CPU.")
    eval_data: Path | None = setting(None, "Labelled file.", unset="the training's dev file")
    """None: the dev file that `training.json` records."""
    columns: Columns = Columns()  # noqa: RUF009 (frozen)
    """How `eval_data` is read."""
    label_map: Mapping[str, str] = field(default_factory=dict)
    """What labels of `eval_data` are called in the model."""
    max_drop: float = setting(1.0, "Points of the metric.")
    """What a variant may lose against the checkpoint."""
    min_agreement: float | None = setting(
        None, "Share of labels kept.", unset="the nearest fast recipe", ge=0, le=1
    )
    """On how many labels an int8 variant must agree with the checkpoint; None: the nearest of the
    fastest recipes is taken."""
    recipe: str | None = setting(
        None,
        "One recipe alone: static, outliers-static, dynamic, …",
        flag="recipe_int8",
        metavar="NAME",
        choices=tuple(RECIPES),
    )
    """One way to make int8, in RECIPES; None: all of them, in order."""
    batch_effects: BatchEffects = setting(
        BatchEffects.AVOID, "May answers depend on the batch?", choices=tuple(BatchEffects)
    )
    target: Target | None = setting(
        None, "x86-vnni, x86-avx2 or arm64; auto: as here.", metavar="NAME", unset="auto"
    )
    """Processors that int8 weights are made for; None: this machine's kind."""
    tolerance: float = setting(
        1e-4, "Largest fp32 difference, as a share of the logits' spread.", gt=0
    )
    calibrate: bool = setting(False, "A temperature for scores, where it helps.")
    """Whether a temperature is looked for that makes the checkpoint's scores fit the data."""
    trim_vocab: Path | None = setting(None, "Corpus whose word pieces alone are kept.")
    """None keeps the vocabulary."""
    task: Task | None = setting(
        None, "What it does.", metavar="NAME", unset="as the checkpoint says"
    )
    pooling: PoolingMode | None = setting(
        None,
        "Of embeddings: mean, cls, max or mean_sqrt_len_tokens.",
        metavar="MODE",
        unset="its own",
    )
    """None: as sentence-transformers' files say, else the mean."""
    normalize: bool = setting(True, "Divide embeddings by their length.", negative="no-normalize")
    """False: embeddings keep their length, whatever sentence-transformers' files say."""
    activation: Activation | None = setting(
        None,
        "Of a pair's one logit: sigmoid or identity.",
        metavar="NAME",
        choices=tuple(Activation),
        unset="as sentence-transformers' files say",
    )
    """None: as they say, of other models identity."""
    max_length: int | None = setting(
        None, "Tokens read of a text.", metavar="N", unset="its own, at most 512", ge=8
    )
    """None: as the training or sentence-transformers' files say, or as it has positions; at most
    512 where no training says more."""
    pair: bool = setting(False, "The checkpoint reads pairs of texts (ours say so).")
    """True where a foreign checkpoint reads pairs; our own say it themselves."""
    exporter: Exporter | None = setting(
        None,
        "optimum or direct.",
        metavar="NAME",
        choices=tuple(Exporter),
        unset="Optimum where it can",
    )
    """None: Optimum where it is installed and knows the architecture, else direct."""
    opset: int = setting(OPSETS[0], "17 or 18.", metavar="N", choices=OPSETS)
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check every field, and then the fields against each other."""
        validate(self)
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
