"""One trial: a model scored on the dev data, or one for each fold."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_model

from bertedge import serialization
from bertedge.finetune import training
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.folds import FoldData, FoldRun, mean_epochs, train_fold
from bertedge.finetune.part_progress import PartProgress
from bertedge.finetune.preparation import Prepared, load_material
from bertedge.finetune.search.budget import MARGIN, Budget, seconds_an_epoch
from bertedge.finetune.search.space import cost_of
from bertedge.finetune.search.trials import (
    Param,
    Rung,
    Trial,
    TrialState,
    best_of,
    keeps_up,
    rung_of,
)
from bertedge.finetune.search.watch import TooLong, TrialWatch
from bertedge.outputs import remove
from bertedge.progress import Progress
from bertedge.training.curves import logging_in
from bertedge.training.seal import seal, write_synced

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RESERVE = 0.02
"""Of the minutes, for what comes after the last trial."""
KEPT, WEIGHTS, TRAINED = "kept", "weights.safetensors", "trained.json"
_SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What all trials of a search share."""

    config: FinetuneConfig
    """Of a trial with the plain defaults."""
    few: FinetuneConfig | None
    """Of the first trial where rows are few, which then does not fine-tune all."""
    prepared: Prepared
    folds: tuple[FoldData, ...]
    """None where trials are scored on dev data."""
    space: "Mapping[str, BaseDistribution]"
    defaults: Mapping[str, Param]
    """Of what is searched."""
    epochs: float
    """The default."""
    metric: str
    folder: Path
    budget: Budget
    progress: Progress

    def fine_tuned(self, trials: list[Trial]) -> list[Trial]:
        """Return the trials that say how others will do, and how long others will take."""
        return trials[1:] if self.few else trials


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the training of a trial came to."""

    state: TrialState
    score: float | None
    best_epoch: float | None
    trained_epochs: float
    evaluation_seconds: float
    rungs: tuple[Rung, ...]


def config_of(
    search: Search, number: int, params: Mapping[str, Param], epochs: float
) -> FinetuneConfig:
    """Return the config of a trial; what has its default is left to the data."""
    if number == 1 and search.few:
        return search.few
    changed = {name: value for name, value in params.items() if value != search.defaults[name]}
    if epochs != search.epochs:
        changed["epochs"] = epochs
    return replace(search.config, **changed)  # type: ignore[arg-type]


def reserve(search: Search, trials: list[Trial]) -> float:
    """Return the seconds that are kept for what comes after the last trial."""
    reserve = RESERVE * search.budget.seconds
    best = best_of(trials)
    if not search.folds:
        return reserve + 3 * max((each.evaluation_seconds for each in trials), default=0.0)
    if best is None or best.best_epoch is None:
        return reserve
    return reserve + best.best_epoch * final_epoch(search, trials, best)


def final_epoch(search: Search, trials: list[Trial], best: Trial) -> float:
    """Return the seconds of an epoch of all rows with the best settings."""
    like = trials[:1] if search.few and best.number == 1 else search.fine_tuned(trials)
    return seconds_an_epoch(like) / (len(search.folds) - 1) * cost_of(best.params)


def on_dev(
    search: Search,
    trials: list[Trial],
    config: FinetuneConfig,
    folder: Path,
    *,
    limited: bool = True,
) -> Result:
    """Train a model and keep its weights if they are the best so far."""
    take_up(folder, config)
    remove(folder / KEPT)
    rungs: list[Rung] = []

    def evaluated(share: float, score: float) -> bool:
        return _climb(rungs, trials, share, score)

    def left() -> float:
        return search.budget.left - reserve(search, trials) - 3 * watch.evaluation_seconds

    watch = TrialWatch(
        clock=search.budget.clock,
        until=left,
        limit=None if search.fine_tuned(trials) or not limited else search.budget.left * MARGIN,
        evaluated=evaluated,
        metric=search.metric,
    )
    part = PartProgress(search.progress, f"trial {len(trials) + 1}")
    material = load_material(config, search.prepared, part)
    own = logging_in(config, f"trial-{len(trials) + 1}")
    trained = training.train(own, material, folder, part, [watch])
    best, score = best_of(trials), trained.best_score
    if score is not None and (best is None or best.score is None or score > best.score):
        kept = folder / KEPT
        kept.mkdir()
        save_model(material.model, str(kept / WEIGHTS))
        (kept / TRAINED).write_text(serialization.to_json(trained), encoding="utf-8")
        seal(kept)
    return Result(
        state=_state(watch),
        score=score,
        best_epoch=trained.best_epoch,
        trained_epochs=trained.epochs,
        evaluation_seconds=round(watch.evaluation_seconds, 3),
        rungs=tuple(rungs),
    )


def _state(watch: TrialWatch) -> TrialState:
    if watch.pruned:
        return TrialState.PRUNED
    return TrialState.OUT_OF_TIME if watch.out_of_time else TrialState.FINISHED


def on_folds(
    search: Search,
    trials: list[Trial],
    config: FinetuneConfig,
    folder: Path,
    *,
    limited: bool = True,
) -> Result:
    """Train a model for each fold; the score is the mean of the folds' scores."""
    take_up(folder, config)
    count, runs, rungs = len(search.folds), list[FoldRun](), list[Rung]()
    state, began = TrialState.FINISHED, search.budget.elapsed

    def left() -> float:
        """Return what is left with the final training to come."""
        if trials:
            return search.budget.left - reserve(search, trials)
        if not runs:
            return search.budget.left / 2
        a_fold = (search.budget.elapsed - began) / len(runs)
        return search.budget.left - a_fold * count / (count - 1)

    for number, data in enumerate(search.folds):
        if runs and (search.budget.elapsed - began) / len(runs) > left():
            state = TrialState.OUT_OF_TIME
            break
        known = search.fine_tuned(trials) or runs
        limit = None if known or not limited else search.budget.left * MARGIN / 2
        watch = TrialWatch(clock=search.budget.clock, until=left, limit=limit)
        part = PartProgress(
            search.progress, f"trial {len(trials) + 1}, fold {number + 1} of {count}"
        )
        own = logging_in(config, f"trial-{len(trials) + 1}/fold-{number + 1}")
        try:
            runs.append(train_fold(own, data, folder / f"fold-{number}", part, [watch]))
        except TooLong:
            if not runs:
                raise
            state = TrialState.OUT_OF_TIME
            break
        mean = statistics.fmean(run.score for run in runs)
        if not _climb(rungs, trials, len(runs) / count, mean):
            state = TrialState.PRUNED
            break
    # Means of fewer folds are no better than others of more.
    scored = not trials or state is not TrialState.OUT_OF_TIME
    return Result(
        state=state,
        score=statistics.fmean(run.score for run in runs) if scored else None,
        best_epoch=mean_epochs([run.best_epoch for run in runs]),
        trained_epochs=sum(run.epochs for run in runs) / count,
        evaluation_seconds=0.0,
        rungs=tuple(rungs),
    )


def _climb(rungs: list[Rung], trials: list[Trial], share: float, score: float) -> bool:
    """Note a score at the rung that it stands on; return whether the trial goes on."""
    rung = rung_of(share)
    if rung is None or any(each.share >= rung for each in rungs):
        return True
    rungs.append(Rung(share=rung, score=score))
    others = [each.score for trial in trials for each in trial.rungs if each.share == rung]
    return keeps_up(score, others)


def take_up(folder: Path, config: FinetuneConfig) -> None:
    """Make a trial's folder; what an interrupted trial with these very settings left, stays."""
    settings = serialization.to_json(config)
    path = folder / _SETTINGS
    if not path.is_file() or path.read_text(encoding="utf-8") != settings:
        remove(folder)
        folder.mkdir()
        write_synced(path, settings)
