"""What a pretraining run is: one flat record, read from a TOML recipe, overridden by flags."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bertedge.data import BadRows
from bertedge.errors import SettingError
from bertedge.training.precision import Precision
from bertedge.training.recipe import OPTIMIZER, Limits, read


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The shape of a new BERT; its feed-forward layers are four times as wide as hidden."""

    layers: int
    hidden: int
    heads: int


SIZES = {
    "tiny": Size(layers=2, hidden=128, heads=2),
    "mini": Size(layers=4, hidden=256, heads=4),
    "small": Size(layers=4, hidden=512, heads=8),
    "medium": Size(layers=8, hidden=512, heads=8),
    "base": Size(layers=12, hidden=768, heads=12),
}
"""Google's miniature BERTs (Turc et al., 2019, arXiv:1908.08962), and BERT-base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every setting of `pretrain`; each is a key of the recipe and a flag of the command."""

    text: tuple[Path, ...]
    """Plain text, a sentence or paragraph a line; a blank line ends a document."""
    output: Path
    bad_rows: BadRows = BadRows.ERROR
    """Whether lines that are no text are an error, or are left out and counted."""
    model: str | None = None
    """The base to continue; else `config` says what to start from nothing."""
    config: str | None = None
    """A name in SIZES, or layers, hidden and heads as in 3x192x3."""
    vocabulary_size: int = 8000
    """Of the WordPiece vocabulary that is trained on the text for a new model."""
    cased: bool = False
    """Whether the new vocabulary tells A from a, and accents apart."""
    next_sentence: bool = False
    """Also learn to tell the text that follows from another (Devlin et al., 2019)."""

    max_length: int = 128
    """Tokens of a row, special tokens included; for a new model, all that it ever reads."""
    mask: float = 0.15
    """Share of a row's tokens to predict, whole words together."""
    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None
    """Of these three the first that is reached ends the run; with none of them, 1 epoch."""
    batch_size: int = 32
    accumulate: int = 1
    """Batches whose gradients are summed for one step of the optimizer."""
    learning_rate: float | None = None
    """At its peak; None is 1e-4 for a base, 1e-3 for a new model."""
    warmup: float = 0.06
    """Share of the run over which the learning rate rises from zero; it falls linearly after."""
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient."""
    dropout: float | None = None
    """While pretraining; None is what the model's config says. Short runs want 0."""
    precision: Precision = Precision.AUTO
    held_out: float = 0.02
    """Share of the rows, at most 500, that are not trained on but measured."""
    checks: int = 10
    """How often along the run perplexity is measured and the state saved."""
    seed: int = 42


_LIMITS = Limits(
    paths=("text", "output"),
    bounds=OPTIMIZER
    | {
        "vocabulary_size": (100, 1_000_000),
        "max_length": (8, 1_000_000),
        "mask": (0.0, 0.9),
        "epochs": (0.0, 10_000.0),
        "steps": (1, 1_000_000_000),
        "minutes": (0.0, 1_000_000.0),
        "dropout": (0.0, 0.9),
        "held_out": (0.0, 0.5),
        "checks": (1, 100_000),
    },
    above=("mask", "epochs", "minutes", "learning_rate", "clip", "held_out"),
)


def read_recipe(path: Path | None, flags: Mapping[str, object]) -> Recipe:
    """Merge a TOML recipe with flags; see `training.recipe.read`."""
    recipe = read(Recipe, path, flags, _LIMITS)
    if not recipe.text:
        raise SettingError("--text is missing; give a file of plain text")
    if (recipe.model is None) == (recipe.config is None):
        raise SettingError(
            "give either --model, a base to continue, or --config, the size of a new model: "
            f"{', '.join(SIZES)} or layers, hidden size and heads as in 3x192x3"
        )
    if recipe.config is not None:
        read_size(recipe.config)
    return recipe


def read_size(text: str) -> Size:
    """Turn `--config` into a shape; SettingError for one that is none."""
    if text in SIZES:
        return SIZES[text]
    match = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,4})x([1-9]\d{0,2})", text)
    if not match:
        raise SettingError(
            f"config is {text!r}; choose one of {', '.join(SIZES)}, or give layers, hidden size "
            "and heads as in 3x192x3"
        )
    layers, hidden, heads = map(int, match.groups())
    if hidden % heads:
        raise SettingError(
            f"config is {text}: a hidden size of {hidden} cannot be shared by {heads} heads; "
            f"choose a multiple of {heads}"
        )
    return Size(layers=layers, hidden=hidden, heads=heads)
