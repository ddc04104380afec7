"""What a search varies: settings that matter most, around the plain defaults."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from bertedge.errors import SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.defaults import Hyperparameters
from bertedge.finetune.search.trials import Param, Trial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optuna.distributions import BaseDistribution


RATES = 5.0
"""The learning rate is searched from a fifth to five times the default, logarithmically."""
EPOCHS = (0.5, 1.0, 2.0)
BATCHES = (0.5, 1.0, 2.0)
"""Of the defaults."""
TECHNIQUES: dict[str, tuple[Param, ...]] = {
    "layer_decay": (0.9,),
    "label_smoothing": (0.1,),
    "rdrop_alpha": (1.0,),
}
"""What may be tried instead of a default."""
COSTS = {"rdrop_alpha": 2.0}
"""How many times as long an epoch takes with a technique."""
STARTUP = 6
"""Trials before the tree of Parzen estimators is asked: the first ones, and some at random."""


def search_space(config: FinetuneConfig, chosen: Hyperparameters) -> "dict[str, BaseDistribution]":
    """Return the distribution of each setting that is searched: those that are at their defaults.

    `chosen` are the defaults for the data. A technique that the task or another setting refuses is
    left out.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    space: dict[str, BaseDistribution] = {}
    if config.learning_rate is None:
        middle = chosen.learning_rate
        high = min(1.0, middle * RATES)
        space["learning_rate"] = FloatDistribution(middle / RATES, high, log=True)
    if config.epochs is None:
        around = [_whole(chosen.epochs * factor) for factor in EPOCHS]
        space["epochs"] = CategoricalDistribution(list(dict.fromkeys((chosen.epochs, *around))))
    if config.batch_size is None:
        sizes = [max(1, round(chosen.batch_size * factor)) for factor in BATCHES]
        space["batch_size"] = CategoricalDistribution(
            list(dict.fromkeys((chosen.batch_size, *sizes)))
        )
    defaults = default_params(config, chosen, TECHNIQUES)
    untouched = type(config).__dataclass_fields__
    for name, values in TECHNIQUES.items():
        own = [value for value in values if value != defaults[name] and _fits(config, name, value)]
        if own and getattr(config, name) == untouched[name].default:
            space[name] = CategoricalDistribution([defaults[name], *own])
    return space


def default_params(
    config: FinetuneConfig, chosen: Hyperparameters, names: "Mapping[str, object]"
) -> dict[str, Param]:
    """Return the plain defaults of the settings `names`."""
    settled: dict[str, Param] = asdict(chosen)
    return {name: settled.get(name, getattr(config, name)) for name in names}


def propose(
    trials: "Sequence[Trial]",
    space: "Mapping[str, BaseDistribution]",
    defaults: "Mapping[str, Param]",
    seed: int,
) -> dict[str, Param]:
    """Return the settings of the next trial, which follow from those before and the seed.

    First the defaults, then the learning rate above and below; then, after some at random, what
    optuna's tree-structured Parzen estimator finds most promising (Bergstra et al. 2011;
    multivariate as in Falkner et al. 2018, BOHB).
    """
    first = _first_trials(space, defaults)
    if len(trials) < len(first):
        return first[len(trials)]
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        multivariate=True, n_startup_trials=STARTUP, seed=(seed + len(trials)) % 2**32
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for each in trials:
        if each.score is not None:
            study.add_trial(
                optuna.trial.create_trial(
                    params=each.params, distributions=dict(space), value=each.score
                )
            )
    return dict(study.ask(dict(space)).params)


def cost_of(params: "Mapping[str, Param]") -> float:
    """Return how many times as long as with the defaults an epoch takes."""
    cost = 1.0
    for name, factor in COSTS.items():
        cost *= factor if params.get(name) else 1.0
    return cost


def _first_trials(
    space: "Mapping[str, BaseDistribution]", defaults: "Mapping[str, Param]"
) -> list[dict[str, Param]]:
    plain = dict(defaults)
    found = [plain]
    rate = plain.get("learning_rate")
    if isinstance(rate, float):
        rates = (rate * RATES**0.5, rate * RATES**-0.5)
        found += [plain | {"learning_rate": min(1.0, each)} for each in rates]
    return found


def _whole(epochs: float) -> float:
    return float(round(epochs)) if epochs >= 1 else epochs


def _fits(config: FinetuneConfig, name: str, value: Param) -> bool:
    try:
        replace(config, **{name: value})  # type: ignore[arg-type]
    except SettingError:
        return False
    return True
