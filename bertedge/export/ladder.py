"""The ways to int8, in the order of preference, until one keeps the user's budget."""

import time
from collections.abc import Callable
from dataclasses import replace

from bertedge.bundle import Quantization, Rung, Variant
from bertedge.errors import VerificationError
from bertedge.evaluation import count_answers
from bertedge.export import verify
from bertedge.export.accuracy import Recorder, rms
from bertedge.export.batch_effect import measure_batch_effect
from bertedge.export.bounds import (
    LABELS,
    AgreementBounds,
    bounds_of,
    broken,
    refusal,
    surely,
)
from bertedge.export.config import BatchEffects, ExportConfig
from bertedge.export.proof import Subject, measure, measure_accuracy
from bertedge.export.recipes import Made, Workshop
from bertedge.export.timing import relative_time
from bertedge.progress import Progress, Silent

FP32 = "fp32"
Order = tuple[tuple[str, ...], ...]
_DYNAMIC: Order = (("dynamic", "outliers"), ("float-nodes",))
_STATIC: Order = (("static", "outliers-static"), ("float-nodes-static",))
ORDERS: dict[BatchEffects, Order] = {
    BatchEffects.AVOID: (*_STATIC, *_DYNAMIC, (FP32,)),
    BatchEffects.REFUSE: (*_STATIC, (FP32,)),
    BatchEffects.ALLOW: (("dynamic", "static", "outliers"), ("float-nodes",), (FP32,)),
}
"""Groups of recipes within a few percent of each other's time, the fastest group first: static
scales save a pass over the activations, the outliers' few nodes cost about 5 %, products in float
15 % and more; fp32 takes two to five times as long."""
HEAD = (
    "recipe",
    "time/fp32",
    "max. logit difference",
    "rms",
    "metric",
    "agreement",
    "batch effect",
    "",
)


def plan(config: ExportConfig, *, labelled: bool) -> Order:
    """List the groups of recipes to try, in order.

    Without labelled data nothing tells whether a group is good enough: the first one is all.
    """
    if config.recipe is not None:
        return ((config.recipe,),)
    order = ORDERS[config.batch_effects]
    return order if labelled else order[:1]


def climb(config: ExportConfig, subject: Subject, shop: Workshop, progress: Progress) -> Variant:
    """Make and measure recipes until one passes; VerificationError where none does.

    The graph that passes lies beside the float one, under its variant's name.
    """
    yardstick = subject.yardstick
    order = plan(config, labelled=yardstick is not None)
    bounds = bounds_of(subject.checkpoint.model.task)
    progress.say(_introduce(config, subject, order))
    variants: dict[str, Variant] = {}
    trials: list[Rung] = []
    errors: list[VerificationError] = []

    def attempt(recipe: str) -> Rung | None:
        began = time.perf_counter()
        try:
            variant, trial = _try(config, subject, recipe, shop)
        except VerificationError as error:  # the next recipe may do
            errors.append(error)
            progress.say(f"{recipe} fails: {error}")
            return None
        variants[recipe] = variant
        trials.append(trial)
        faults = broken(config, variant, trial, bounds)
        progress.say(f"{_summarize(trial, faults)}  {time.perf_counter() - began:.0f} s")
        return trial

    count = count_answers(yardstick.labelling) if yardstick else 0
    taken = search(config, order, attempt, rows=count, bounds=bounds)
    if taken is not None:
        return _take(subject, shop, variants[taken], shop.make(taken), tuple(trials))
    if not trials:
        raise errors[-1]
    raise VerificationError(refusal(config, trials, list(variants.values()), bounds))


def search(
    config: ExportConfig,
    order: Order,
    attempt: Callable[[str], Rung | None],
    *,
    rows: int,
    bounds: AgreementBounds = LABELS,
) -> str | None:
    """Return the recipe to take, or None where none passes; `attempt` measures one.

    A budget of the user's is kept by the first recipe within it. Without one, a recipe that agrees
    on `bounds.good` beyond what chance may do on so many rows is taken at once; else, when all of
    its group were tried, the one whose logits are nearest to the checkpoint's: a few labels that
    differ tell recipes apart by chance, where the logits of all texts do not.
    """
    told = config.min_agreement is not None or config.recipe is not None
    for group in order:
        passed: list[Rung] = []
        for recipe in group:
            trial = attempt(recipe)
            if trial is None or not trial.passed:
                continue
            agreement = trial.agreement
            if told or (agreement and surely(agreement, rows, bounds) >= bounds.good):
                return recipe
            passed.append(trial)
        if passed:
            return min(passed, key=lambda trial: trial.rms_difference).recipe
    return None


def _take(
    subject: Subject,
    shop: Workshop,
    variant: Variant,
    made: Made,
    trials: tuple[Rung, ...],
) -> Variant:
    effect = measure_batch_effect(subject, made.shipped.open())
    made.shipped.move(shop.floats.folder)
    quantization = Quantization(
        recipe=made.recipe, target=shop.target.value, calibration=made.calibration, rungs=trials
    )
    return replace(variant, quantization=quantization, batch_effect=effect)


def cells(trial: Rung) -> tuple[str, ...]:
    """Return a recipe's figures as the cells of a table under HEAD."""
    return (
        trial.recipe,
        "-" if trial.relative_time is None else f"{trial.relative_time:.2f}x",
        f"{trial.max_difference:.2g}",
        f"{trial.rms_difference:.2g}",
        "" if trial.metric is None else f"{trial.metric:.4f}",
        "" if trial.agreement is None else f"{trial.agreement:.2%}",
        "" if trial.invariance is None else f"{trial.invariance:.2g}",
        "passes" if trial.passed else "fails",
    )


def _introduce(config: ExportConfig, subject: Subject, order: Order) -> str:
    if config.recipe is not None:
        return f"int8 by the recipe {config.recipe} alone"
    recipes = ", ".join(recipe for group in order for recipe in group)
    if subject.yardstick is None:
        return (
            f"int8 by the nearest of {recipes}: without labelled data nothing tells whether "
            "another is needed; give --eval-data FILE"
        )
    return f"int8 recipes, in order: {recipes}"


def _summarize(trial: Rung, faults: list[str]) -> str:
    if faults:
        return f"{trial.recipe} fails: it {' and '.join(faults)}"
    agreement = "" if trial.agreement is None else f", agreement {trial.agreement:.2%}"
    return f"{trial.recipe} passes: logits off by {trial.rms_difference:.2g} (rms){agreement}"


def _try(
    config: ExportConfig, subject: Subject, recipe: str, shop: Workshop
) -> tuple[Variant, Rung]:
    shipped = shop.make(recipe).shipped
    engine = shipped.open()
    variant = measure(config, subject, shipped, engine, Silent())
    yardstick = subject.yardstick
    exact = yardstick.logits if yardstick else None
    recorder = Recorder(engine, kept=exact is not None)
    accuracy = measure_accuracy(subject, variant.name, recorder, Silent())
    variant = replace(variant, accuracy=accuracy)
    logits = recorder.all()
    difference = verify.compare(subject.parity, engine)
    trial = Rung(
        recipe=recipe,
        relative_time=relative_time(shipped, shop.floats, subject.checkpoint),
        max_difference=difference.largest,
        rms_difference=(difference.rms if exact is None or logits is None else rms(exact, logits)),
        metric=accuracy.variant if accuracy else None,
        agreement=accuracy.agreement if accuracy else None,
        invariance=verify.variance(subject.parity, engine),
        passed=True,
    )
    passed = not broken(config, variant, trial, bounds_of(subject.checkpoint.model.task))
    return variant, replace(trial, passed=passed)
