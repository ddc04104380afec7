"""What `bertedge predict` is asked for beside plain predictions, and what does not go with it."""

from enum import StrEnum
from typing import Any

import click


class Mode(StrEnum):
    """What a text gets; others than the first by the flag that asks for it."""

    PREDICT = ""
    EXPLAIN = "explain"
    CANDIDATES = "candidate_labels"
    RANK = "rank"
    AGAINST = "against"


_EXCLUDED = {
    Mode.PREDICT: (),
    Mode.EXPLAIN: ("against", "rank", "candidate_labels", "aggregation", "top_k"),
    Mode.CANDIDATES: ("against", "rank", "aggregation", "top_k"),
    Mode.RANK: ("against", "aggregation"),
    Mode.AGAINST: ("aggregation",),
}
_OF_CANDIDATES = ("multi_label", "hypothesis_template")


def mode_of(flags: dict[str, Any]) -> Mode:
    """Return what is asked for; UsageError for two at once, and for what it does not take."""
    asked = [mode for mode in Mode if mode and flags[mode] not in (None, False)]
    if flags["explain_label"] is not None:
        asked = [Mode.EXPLAIN, *asked]
    mode = min(asked, key=list(Mode).index, default=Mode.PREDICT)
    for name in _EXCLUDED[mode]:
        if flags[name] not in (None, False):
            raise click.UsageError(
                f"{_flag(mode)} and {_flag(name)} exclude each other; leave {_flag(name)} out"
            )
    for name in _OF_CANDIDATES:
        if mode is not Mode.CANDIDATES and flags[name] not in (None, False):
            raise click.UsageError(f"{_flag(name)} is for --candidate-labels; give these too")
    return mode


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
