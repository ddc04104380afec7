"""What a fine-tuning run is: one flat record, read from a TOML recipe, overridden by flags."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from bertedge import records
from bertedge.errors import SettingError
from bertedge.examples import Columns
from bertedge.tasks import Task


class Precision(StrEnum):
    """Of the forward pass; the weights and the optimizer are always fp32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


class ClassWeights(StrEnum):
    """How much an example of each class counts in the loss."""

    NONE = "none"
    BALANCED = "balanced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every setting of `finetune`; each is a key of the recipe and a flag of the command."""

    task: Task
    train: Path
    model: str
    output: Path
    dev: Path | None = None

    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None
    separator: str | None = None
    header: bool | None = None
    format: str | None = None

    max_length: int | None = None
    """In tokens; None is the most that the model reads."""
    epochs: float = 3.0
    batch_size: int = 32
    accumulate: int = 1
    """Batches whose gradients are summed for one step of the optimizer."""
    learning_rate: float = 5e-5
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises from zero; it falls linearly after."""
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient."""
    patience: int | None = 3
    """Evaluations without a better dev metric before training stops; None never stops early."""
    precision: Precision = Precision.AUTO
    freeze: str | int | None = None
    """"embeddings", or the number of lowest layers frozen along with the embeddings."""
    class_weights: ClassWeights = ClassWeights.NONE
    seed: int = 42

    def columns(self) -> Columns:
        """The columns asked for."""
        return Columns(
            text=self.text_column,
            pair=self.pair_column,
            label=self.label_column,
            separator=self.separator,
            header=self.header,
            format=self.format,
        )


_BOUNDS = {
    "epochs": (0.0, 10_000.0),
    "batch_size": (1, 65_536),
    "accumulate": (1, 65_536),
    "learning_rate": (0.0, 1.0),
    "warmup": (0.0, 1.0),
    "weight_decay": (0.0, 10.0),
    "clip": (0.0, float("inf")),
    "patience": (1, 10_000),
    "max_length": (3, 1_000_000),
    "seed": (0, 2**32 - 1),
}
_ABOVE_ZERO = ("epochs", "learning_rate", "clip")


def read_recipe(path: Path | None, flags: Mapping[str, object]) -> Recipe:
    """Merge a TOML recipe with flags (None: not given); flags win.

    Files named in the recipe are relative to the recipe; files named by flags to the working
    directory. Raises SettingError for an unknown key, a missing one, or a value out of range.
    """
    table = _read_toml(path) if path else {}
    given = {name: value for name, value in flags.items() if value is not None}
    where = f"{path}: " if path else ""
    try:
        recipe = records.from_plain(Recipe, table | given)
    except records.RecordError as error:
        raise SettingError(where + _as_flag(str(error))) from None
    _check(recipe)
    return recipe


def _read_toml(path: Path) -> dict[str, object]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingError(f"{path} does not exist; give the recipe's path") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{path} cannot be read as TOML: {error}") from None
    for name in ("train", "dev", "output"):
        if isinstance(table.get(name), str):
            table[name] = str(path.parent / table[name])
    model = table.get("model")
    if isinstance(model, str) and model.startswith("."):
        table["model"] = str(path.parent / model)
    return table


def _as_flag(message: str) -> str:
    """Turn "train is missing" into words that name the flag."""
    name, _, rest = message.partition(" ")
    if rest == "is missing":
        return f"--{name.replace('_', '-')} is missing; give the flag, or {name} in a --recipe"
    return message


def _check(recipe: Recipe) -> None:
    for field in fields(Recipe):
        value = getattr(recipe, field.name)
        if field.name in _BOUNDS and value is not None:
            low, high = _BOUNDS[field.name]
            above = value > low if field.name in _ABOVE_ZERO else value >= low
            if not above or value > high:
                sign = "above" if field.name in _ABOVE_ZERO else "at least"
                raise SettingError(
                    f"{field.name} is {value}; it must be {sign} {low:g} and at most {high:g}"
                )
    freeze = recipe.freeze
    if freeze is not None and freeze != "embeddings" and (isinstance(freeze, str) or freeze < 0):
        raise SettingError(f"freeze is {freeze!r}; give embeddings, or a number of layers")
