"""Settings of the search for settings, and of cross-validation."""

from dataclasses import dataclass
from typing import Any

from bertedge.errors import SettingError
from bertedge.fields import setting

MINUTES = 10.0
"""Of a search."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How many models are trained for one, and what of them is compared."""

    auto: bool = setting(False, "Search the settings that are not given.")
    """What is given, or is not its default, stays as it is."""
    minutes: float | None = setting(
        None, "Of --auto, for all together.", metavar="X", unset="10", gt=0, le=100_000
    )
    folds: int | None = setting(
        None, "Cross-validate, then train on all rows.", metavar="K", unset="none", ge=2, le=100
    )
    """Parts of the training file, of which each is scored by a model of the others."""


def check_search(config: Any) -> None:
    """Raise SettingError for settings that cannot work together."""
    if config.minutes is not None and not config.auto:
        raise SettingError(
            f"minutes is {config.minutes:g}, but nothing is searched; add --auto, or leave it out"
        )
    if config.folds is not None and config.dev is not None:
        raise SettingError(
            f"folds is {config.folds}, but the dev data are {config.dev}; leave one out, and score "
            "the file with bertedge evaluate"
        )
    if config.folds is not None and config.dev_share:
        raise SettingError(
            f"folds is {config.folds}, which holds out each row once; leave --dev-share out"
        )
