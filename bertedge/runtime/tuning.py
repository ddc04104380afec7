"""How many tokens a batch should hold on this machine: measured once, remembered by file.

Large batches leave a core's cache, small ones leave its arithmetic units idle; where the best lies
depends on model and processor. The first long input of a model is cut into batches of several
sizes in turn, which run as ever and are timed; what was best lies in the user's cache folder for
the next process.
"""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertedge import serialization
from bertedge.runtime import machine

BUDGETS = (128, 256, 512, 1024)
ROUNDS = 4
"""How often each budget is tried; the first round warms up and does not count."""
WORTH_IT = 1.03
"""A budget must beat the default by this factor: less is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBudget:
    """Padded tokens in a batch, and how that came to be chosen."""

    tokens: int
    why: str
    rates: dict[str, float]
    """Tokens a second on one core by budget, as measured; empty where nothing was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A batch of some budget that was run."""

    budget: int
    tokens: int
    """With padding."""
    seconds: float
    """Of one core, so that other work on the machine does not count."""


PATTERN = "token-budget-*.json"
"""Of the files' names."""
NOWHERE = Path(os.devnull) / "bertedge"
"""A folder that cannot be made: nothing is remembered where nobody has a home."""
DEFAULT = TokenBudget(tokens=256, why="the default; not measured here yet", rates={})


def is_enough(lengths: Sequence[int]) -> bool:
    """Tell whether rows of these lengths make batches enough to choose by."""
    return sum(lengths) >= ROUNDS * sum(BUDGETS)


def choose(trials: Sequence[Trial]) -> TokenBudget:
    """Choose the budget with the most tokens a second, from batches that took turns."""
    counted = trials[len(BUDGETS) :]
    rates = {}
    for budget in BUDGETS:
        own = [trial for trial in counted if trial.budget == budget]
        seconds = sum(trial.seconds for trial in own)
        rates[budget] = sum(trial.tokens for trial in own) / seconds if seconds > 0 else 0.0
    best = max(BUDGETS, key=lambda budget: rates[budget])
    if rates[best] <= WORTH_IT * rates[DEFAULT.tokens]:
        best = DEFAULT.tokens
    return TokenBudget(
        tokens=best,
        why=f"measured on {len(counted)} batches, {machine.cpu_model()}",
        rates={str(budget): round(rate, 1) for budget, rate in rates.items()},
    )


def cache_file(model_sha256: str, threads: int) -> Path:
    """Name the file that remembers the budget of a model on this machine."""
    place = f"{model_sha256} {machine.cpu_model()} {threads} {BUDGETS}"
    key = hashlib.sha256(place.encode()).hexdigest()[:16]
    return cache_folder() / PATTERN.replace("*", key)


def recall(file: Path) -> TokenBudget | None:
    """Read what was remembered; None where nothing (readable) was."""
    try:
        found = serialization.from_plain(TokenBudget, json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None
    return found if 0 < found.tokens <= max(BUDGETS) else None


def remember(file: Path, budget: TokenBudget) -> bool:
    """Write the budget down; False where the cache cannot be written, which costs only time."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(serialization.to_json(budget), encoding="utf-8")
        os.replace(part, file)
    except OSError:
        return False
    return True


def cache_folder() -> Path:
    """Name the user's cache folder: $BERTEDGE_CACHE, or where the system keeps such things."""
    if folder := os.environ.get("BERTEDGE_CACHE"):
        return Path(folder)
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "bertedge"
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "bertedge"
    try:
        return Path.home() / ".cache" / "bertedge"
    except RuntimeError:  # no HOME, and a user without a name: a container
        return NOWHERE
