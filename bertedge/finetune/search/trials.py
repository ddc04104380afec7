"""The trials of a search: what each was, what it came to, and when it is given up."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bertedge import serialization
from bertedge.training.seal import write_synced

TRIALS = "trials.json"
RUNGS = (0.25, 0.5)
"""Shares of a trial at which the worse half of the trials that came so far is given up."""
_TRIAL = "trial.json"

Param = str | int | float | bool | None
"""A value of what is searched."""


class TrialState(StrEnum):
    """How a trial ended."""

    FINISHED = "finished"
    PRUNED = "pruned"
    """Given up: it was behind the others."""
    OUT_OF_TIME = "out of time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A trial's score at a share of its training."""

    share: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A model, or one for each fold, trained and scored with settings of its own."""

    number: int
    """From 1, which has the plain defaults."""
    params: dict[str, Param]
    """What the search chose."""
    epochs: float
    """How many it was to train; fewer than chosen where time is short."""
    state: TrialState
    score: float | None
    """The best dev metric; of folds the mean. None where the time ended before the first."""
    best_epoch: float | None
    trained_epochs: float
    evaluation_seconds: float
    """Of the slowest evaluation; 0 for folds."""
    seconds: float
    elapsed: float
    """Seconds of the search when it ended."""
    rungs: tuple[Rung, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """`trials.json`: all trials of a search."""

    metric: str
    minutes: float
    seconds: float
    """Of the search and the final training."""
    folds: int | None
    """Of cross-validation; None where trials were scored on dev data."""
    best: int
    """The number of the trial whose settings the model has."""
    trials: tuple[Trial, ...]


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial with the best score, the first of equals; None where none has one."""
    whole = [each for each in trials if each.state is not TrialState.PRUNED]
    scored = [(each.score, -each.number, each) for each in whole if each.score is not None]
    return max(scored)[-1] if scored else None


def keeps_up(score: float, others: Sequence[float]) -> bool:
    """Return whether a score is in the better half of all that reached a rung, `others` and it.

    Asynchronous successive halving with a reduction factor of 2 (Li et al. 2020, arXiv:1810.05934,
    algorithm 2): a trial is promoted without waiting for those to come.
    """
    better = sum(other > score for other in others)
    return better < max(1, (len(others) + 1) // 2)


def rung_of(share: float) -> float | None:
    """Return the rung that a share of a training has reached; None below the first and at the end.

    At its end there is nothing to give up.
    """
    reached = [rung for rung in RUNGS if rung <= share < 1]
    return reached[-1] if reached else None


def write_trial(folder: Path, trial: Trial) -> None:
    """Write what a trial came to, whole or not at all."""
    write_synced(folder / _TRIAL, serialization.to_json(trial))


def read_trials(folder: Path) -> list[Trial]:
    """Return the trials in the subfolders `1`, `2`, …, up to the first that has not ended.

    That is the one that an interrupted search goes on with.
    """
    found: list[Trial] = []
    while (path := folder / str(len(found) + 1) / _TRIAL).is_file():
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            found.append(serialization.from_plain(Trial, data))
        except ValueError:  # damaged: it is done again
            break
    return found


def describe(trial: Trial, metric: str, defaults: Mapping[str, Param]) -> str:
    """Return a line: what a trial came to."""
    score = "no score" if trial.score is None else f"{metric} {trial.score:.4f}"
    state = "" if trial.state is TrialState.FINISHED else f", {trial.state.value}"
    return (
        f"trial {trial.number}: {score}{state}, {trial.seconds:.0f} s "
        f"({describe_params(trial, defaults)})"
    )


def describe_params(trial: Trial, defaults: Mapping[str, Param]) -> str:
    """Return in which settings a trial differs from the first, whose are the `defaults`."""
    changed = {name: value for name, value in trial.params.items() if value != defaults[name]}
    named = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in changed.items()
    ]
    return ", ".join(named) or "plain defaults"
