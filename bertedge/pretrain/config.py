"""What a pretraining run is: one flat record, from Python, a TOML file or flags."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from bertedge.columns import BadRows
from bertedge.errors import SettingError
from bertedge.fields import about, setting
from bertedge.training.config import TrainingConfig


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
class PretrainConfig(TrainingConfig):
    """Every setting of `pretrain`; each is a key of the config file and a flag of the command.

    Raises SettingError for values that cannot work, alone or together.

    Examples:
        >>> from pathlib import Path
        >>> from bertedge.pretrain import PretrainConfig
        >>> PretrainConfig(text=(Path("corpus.txt"),), size="mini", output=Path("bases/mini")).cased
        False
        >>> PretrainConfig(text=(Path("corpus.txt"),), output=Path("bases/mini"))
        Traceback (most recent call last):
        bertedge.errors.SettingError: give either --model...
    """

    text: tuple[Path, ...] = field(metadata=about("Plain text, also .gz; may be repeated."))
    """A sentence or paragraph a line; a blank line ends a document."""
    output: Path = field(metadata=about("Directory for the base model."))
    bad_rows: BadRows = setting(
        BadRows.ERROR, "skip: leave them out and count them.", choices=tuple(BadRows)
    )
    """Whether lines that are no text are an error, or are left out and counted."""
    model: str | None = setting(None, "Base model to continue.", metavar="DIR|HUB-ID")
    size: str | None = setting(
        None, "New model: tiny, mini, small … or 3x192x3.", metavar="NAME", formerly="config"
    )
    """A name in SIZES, or layers, hidden size and heads."""
    vocab_size: int = setting(
        8000, "Word pieces of a new model.", ge=100, le=1_000_000, formerly="vocabulary_size"
    )
    """Of the WordPiece vocabulary that is trained on the text for a new model."""
    cased: bool = setting(False, "Of a new vocabulary.", unset="uncased", negative="uncased")
    """Whether the new vocabulary tells A from a, and accents apart."""
    next_sentence: bool = setting(False, "Learn to tell what follows.")
    """Also learn to tell the text that follows from another (Devlin et al., 2019)."""

    max_length: int = setting(128, "Tokens of a row.", ge=8, le=1_000_000)
    """Special tokens included; for a new model, all that it ever reads."""
    mlm_probability: float = setting(
        0.15, "Share of the tokens to predict.", gt=0, le=0.9, formerly="mask"
    )
    """Of each row, whole words together."""
    epochs: float | None = setting(
        None, "Passes over the text.", unset="1, if nothing else ends it", gt=0, le=10_000
    )
    max_steps: int | None = setting(
        None, "Steps of the optimizer.", ge=1, le=1_000_000_000, formerly="steps"
    )
    minutes: float | None = setting(None, "Time to train for.", gt=0, le=1_000_000)
    """Of these three the first that is reached ends the run; with none of them, 1 epoch."""
    batch_size: int = setting(32, "Rows a batch.", ge=1, le=65_536)
    weight_decay: float = setting(0.01, "AdamW's weight decay.", ge=0, le=10)
    learning_rate: float | None = setting(
        None, "Peak.", unset="1e-4; 1e-3 for a new model", gt=0, le=1
    )
    warmup_ratio: float = setting(
        0.06, "Share of the run with a rising rate.", ge=0, le=1, formerly="warmup"
    )
    """The learning rate falls linearly after."""
    dropout: float | None = setting(
        None, "While pretraining.", unset="as the model's config says", ge=0, le=0.9
    )
    """Short runs want 0."""
    held_out: float = setting(0.02, "Share of rows to measure perplexity on.", gt=0, le=0.5)
    """At most 500 rows, which are not trained on."""
    checks: int = setting(10, "Times to measure and save along the run.", ge=1, le=100_000)

    def __post_init__(self) -> None:
        """Check every field, and that there is a text and one thing to start from."""
        TrainingConfig.__post_init__(self)
        if not self.text:
            raise SettingError("--text is missing; give a file of plain text")
        if (self.model is None) == (self.size is None):
            raise SettingError(
                "give either --model, a base to continue, or --size, that of a new model: "
                f"{', '.join(SIZES)} or layers, hidden size and heads as in 3x192x3"
            )
        if self.size is not None:
            read_size(self.size)

    @property
    def peak_learning_rate(self) -> float:
        """The highest learning rate, where it is left open by what is trained."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 1e-3 if self.model is None else 1e-4


def read_size(text: str) -> Size:
    """Return the shape that `--size` names; SettingError for none."""
    if text in SIZES:
        return SIZES[text]
    match = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,4})x([1-9]\d{0,2})", text)
    if not match:
        raise SettingError(
            f"size is {text!r}; choose one of {', '.join(SIZES)}, or give layers, hidden size "
            "and heads as in 3x192x3"
        )
    layers, hidden, heads = map(int, match.groups())
    if hidden % heads:
        raise SettingError(
            f"size is {text}: a hidden size of {hidden} cannot be shared by {heads} heads; "
            f"choose a multiple of {heads}"
        )
    return Size(layers=layers, hidden=hidden, heads=heads)
