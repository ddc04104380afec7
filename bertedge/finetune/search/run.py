"""The search: one trial after another while there is time, then the model of the best."""

import gc
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from safetensors.torch import load_model

from bertedge import serialization
from bertedge.errors import MissingExtraError
from bertedge.finetune import training
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.folds import (
    FoldData,
    join_folds,
    open_folds,
    train_fold,
)
from bertedge.finetune.outcome import Outcome
from bertedge.finetune.part_progress import PartProgress
from bertedge.finetune.preparation import Prepared, load_material, settle
from bertedge.finetune.search.attempts import (
    KEPT,
    TRAINED,
    WEIGHTS,
    Result,
    Search,
    config_of,
    final_epoch,
    on_dev,
    on_folds,
    reserve,
    take_up,
)
from bertedge.finetune.search.budget import MARGIN, Budget, fit_epochs, seconds_an_epoch
from bertedge.finetune.search.space import cost_of, default_params, propose, search_space
from bertedge.finetune.search.trials import (
    Param,
    Trial,
    Trials,
    TrialState,
    best_of,
    describe,
    read_trials,
    write_trial,
)
from bertedge.finetune.search.watch import TooLong
from bertedge.finetune.settings.search import MINUTES
from bertedge.outputs import remove
from bertedge.progress import Progress
from bertedge.tasks import trainable_task
from bertedge.training.seal import fault_of

FOLDS = 4
"""Of a search without dev data."""


def search(
    config: FinetuneConfig,
    prepared: Prepared,
    folder: Path,
    progress: Progress,
    *,
    few: FinetuneConfig | None = None,
    clock: Callable[[], float] | None = None,
) -> Outcome:
    """Return the model of the best trial that the minutes buy; the first has the plain defaults.

    Those are `few` where rows are so; the second trial then fine-tunes all by its plain defaults.
    With dev data a trial's own weights are the result. Without, a trial is a cross-validation, and
    the model is trained on all rows with the settings of the best. Trials that ended lie in
    `folder`, and an interrupted search goes on with the one that it was at. Raises
    MissingExtraError without optuna, StoppedError after Ctrl-C.
    """
    if find_spec("optuna") is None:
        raise MissingExtraError("auto", "optuna")
    trials = read_trials(folder)
    found = _open(config, prepared, few, folder, progress, _budget(config, trials, clock))
    trials = _with_weights(found, trials)
    while (plan := _plan(found, trials)) is not None:
        trials.append(_run_trial(found, trials, *plan))
        _tidy(found, trials)
        if not found.space:
            progress.say("every setting that is searched is given; one trial is all")
            break
    best = best_of(trials)
    assert best is not None  # the first has a score
    outcome = _final_training(found, trials, best) if found.folds else _load(found, best)
    return replace(
        outcome,
        trials=Trials(
            metric=found.metric,
            minutes=config.minutes or MINUTES,
            seconds=round(found.budget.elapsed, 3),
            folds=len(found.folds) or None,
            best=best.number,
            trials=tuple(trials),
        ),
    )


def _budget(
    config: FinetuneConfig, trials: list[Trial], clock: Callable[[], float] | None
) -> Budget:
    spent = trials[-1].elapsed if trials else 0.0
    return Budget(60 * (config.minutes or MINUTES), spent, clock)


def _open(
    config: FinetuneConfig,
    prepared: Prepared,
    few: FinetuneConfig | None,
    folder: Path,
    progress: Progress,
    budget: Budget,
) -> Search:
    folder.mkdir(parents=True, exist_ok=True)
    plain = replace(config, auto=False, minutes=None)
    folds: list[FoldData] = []
    if prepared.dev is None:
        folds = open_folds(plain, prepared.inputs, config.folds or FOLDS, folder / "folds")
        progress.say(f"no dev data: trials are scored by cross-validation in {len(folds)} folds")
    chosen = settle(plain, prepared)
    space = search_space(plain, chosen)
    return Search(
        config=plain,
        few=few,
        prepared=prepared,
        folds=tuple(folds),
        space=space,
        defaults=default_params(plain, chosen, space),
        epochs=chosen.epochs,
        metric=trainable_task(config.task).metric(config.decision()),
        folder=folder,
        budget=budget,
        progress=progress,
    )


def _with_weights(search: Search, trials: list[Trial]) -> list[Trial]:
    """Return the trials that an interrupted search goes on after: none if the best is damaged."""
    best = best_of(trials)
    if best is None or search.folds or fault_of(search.folder / str(best.number) / KEPT) is None:
        return trials
    search.progress.say("the weights of the best trial are damaged; the search starts again")
    for each in trials:
        remove(search.folder / str(each.number))
    return []


def _plan(search: Search, trials: list[Trial]) -> tuple[dict[str, Param], float] | None:
    """Return the next trial's settings and its epochs; None where no other trial fits."""
    known = search.fine_tuned(trials)
    if not known:
        return dict(search.defaults), search.epochs
    params = propose(known, search.space, search.defaults, search.config.seed)
    each, left = seconds_an_epoch(known), search.budget.left - reserve(search, trials)
    for candidate in (params, _cheap(search, params)):
        wanted = candidate.get("epochs", search.epochs)
        assert isinstance(wanted, int | float)
        fitting = fit_epochs(wanted, each * cost_of(candidate), left, search.epochs)
        if fitting is not None:
            return candidate, fitting
    return None


def _cheap(search: Search, params: Mapping[str, Param]) -> dict[str, Param]:
    """Return settings without the techniques that take longer."""
    return {
        name: search.defaults[name] if cost_of({name: value}) > 1 else value
        for name, value in params.items()
    }


def _run_trial(
    search: Search, trials: list[Trial], params: dict[str, Param], epochs: float
) -> Trial:
    number, began = len(trials) + 1, search.budget.elapsed
    folder = search.folder / str(number)
    run = on_folds if search.folds else on_dev
    try:
        result = run(search, trials, config_of(search, number, params, epochs), folder)
    except TooLong as ended:
        if search.fine_tuned(trials):
            result = _none(TrialState.OUT_OF_TIME)
        else:  # the defaults are cut to what fits
            share = search.budget.left * MARGIN / (2 if search.folds else 1) / ended.projected
            minutes = ended.projected * (len(search.folds) or 1) / 60
            epochs *= min(share, 1.0)
            search.progress.say(
                f"the defaults alone would take {minutes:.1f} minutes; they are cut to "
                f"{epochs:.3g} epochs"
            )
            remove(folder)
            config = config_of(search, number, params, epochs)
            result = run(search, trials, config, folder, limited=False)
    gc.collect()
    trial = Trial(
        number=number,
        params=params,
        epochs=epochs,
        state=result.state,
        score=result.score,
        best_epoch=result.best_epoch,
        trained_epochs=result.trained_epochs,
        evaluation_seconds=result.evaluation_seconds,
        seconds=round(search.budget.elapsed - began, 3),
        elapsed=round(search.budget.elapsed, 3),
        rungs=result.rungs,
    )
    write_trial(folder, trial)
    search.progress.say(describe(trial, search.metric, search.defaults))
    return trial


def _none(state: TrialState) -> Result:
    return Result(
        state=state,
        score=None,
        best_epoch=None,
        trained_epochs=0.0,
        evaluation_seconds=0.0,
        rungs=(),
    )


def _tidy(search: Search, trials: list[Trial]) -> None:
    """Remove what no one needs any more: states, and weights that are not the best."""
    best = best_of(trials)
    for each in trials:
        folder = search.folder / str(each.number)
        for state in folder.glob("checkpoint-*"):
            remove(state)
        if each is not best:
            remove(folder / KEPT)


def _load(search: Search, best: Trial) -> Outcome:
    """Return the model that the best trial has left."""
    config = config_of(search, best.number, best.params, best.epochs)
    kept = search.folder / str(best.number) / KEPT
    material = load_material(config, search.prepared, search.progress)
    load_model(material.model, str(kept / WEIGHTS))
    found = json.loads((kept / TRAINED).read_text(encoding="utf-8"))
    trained = serialization.from_plain(training.Trained, found)
    return Outcome(config=config, material=material, trained=trained)


def _final_training(search: Search, trials: list[Trial], best: Trial) -> Outcome:
    """Train on all rows with the best settings, for as many epochs as were best in the folds."""
    config = config_of(search, best.number, best.params, best.epochs)
    own = search.folder / str(best.number)
    folders = [own / f"fold-{number}" for number in range(len(search.folds))]
    done = [folder for folder in folders if fault_of(folder) is None]
    data = search.folds[: len(done)]
    part = PartProgress(search.progress, "folds")
    runs = [train_fold(config, *each, part) for each in zip(data, done, strict=True)]
    folds = join_folds(config, data, runs, done)
    an_epoch = final_epoch(search, trials, best)
    epochs = min(folds.record.epochs, max(search.budget.left, 0.0) / an_epoch)
    config = replace(config, epochs=max(epochs, folds.record.epochs / 2))
    folder = search.folder / "final"
    take_up(folder, config)
    search.progress.say(f"training on all rows, epochs: {config.epochs:.3g}")
    material = load_material(config, search.prepared, search.progress)
    trained = training.train(config, material, folder, search.progress)
    return Outcome(config=config, material=material, trained=trained, folds=folds)
