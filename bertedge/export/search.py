"""The ways to int8, in the order of preference, until one keeps the user's budget."""

import time
from collections.abc import Callable
from dataclasses import replace

from bertedge.bundle import Quantization, Trial, Variant
from bertedge.errors import VerificationError
from bertedge.evaluation import count_answers
from bertedge.export import verify
from bertedge.export.accuracy import Recorder
from bertedge.export.batch_effect import measure_batch_effect
from bertedge.export.bounds import beyond_chance, broken, refusal
from bertedge.export.config import BatchEffects, ExportConfig
from bertedge.export.latency import relative_time
from bertedge.export.quantization.recipes import QuantizationContext
from bertedge.export.reference import Reference, measure, measure_accuracy
from bertedge.export.verify import Answers
from bertedge.progress import Progress, Silent
from bertedge.tasks import task_module
from bertedge.tasks.contract import LABEL_BOUNDS, AgreementBounds

FP32 = "fp32"
Order = tuple[tuple[str, ...], ...]
Measured = tuple[Variant, Answers]
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


def recipe_order(config: ExportConfig, *, labelled: bool) -> Order:
    """Return the groups of recipes to try, in order.

    Without labelled data nothing tells whether a group is good enough: the first one is all.
    """
    if config.recipe is not None:
        return ((config.recipe,),)
    order = ORDERS[config.batch_effects]
    return order if labelled else order[:1]


def search_recipe(
    config: ExportConfig, reference: Reference, context: QuantizationContext, progress: Progress
) -> Variant:
    """Make and measure recipes until one passes; VerificationError where none does.

    The graph that passes lies beside the float one, under its variant's name.
    """
    evaluated = reference.evaluation
    order = recipe_order(config, labelled=evaluated is not None)
    bounds = task_module(reference.checkpoint.model.task).BOUNDS
    progress.say(_introduce(config, reference, order))
    measured: dict[str, Measured] = {}
    trials: list[Trial] = []
    errors: list[VerificationError] = []

    def attempt(recipe: str) -> Trial | None:
        began = time.perf_counter()
        try:
            variant, answers, trial = _try(config, reference, recipe, context)
        except VerificationError as error:  # the next recipe may do
            errors.append(error)
            progress.say(f"{recipe} fails: {error}")
            return None
        measured[recipe] = variant, answers
        trials.append(trial)
        faults = broken(config, variant, trial, bounds)
        progress.say(f"{_summarize(trial, faults)}  {time.perf_counter() - began:.0f} s")
        return trial

    count = count_answers(evaluated.result) if evaluated else 0
    taken = choose_recipe(config, order, attempt, rows=count, bounds=bounds)
    if taken is not None:
        return _take(reference, context, measured[taken], tuple(trials), taken)
    if not trials:
        raise errors[-1]
    variants = [variant for variant, _ in measured.values()]
    raise VerificationError(refusal(config, trials, variants, bounds))


def choose_recipe(
    config: ExportConfig,
    order: Order,
    attempt: Callable[[str], Trial | None],
    *,
    rows: int,
    bounds: AgreementBounds = LABEL_BOUNDS,
) -> str | None:
    """Return the recipe to take, or None where none passes; `attempt` measures one.

    A budget of the user's is kept by the first recipe within it. Without one, a recipe that agrees
    on `bounds.good` beyond what chance may do on so many rows is taken at once; else, when all of
    its group were tried, the one whose logits are nearest to the checkpoint's: a few labels that
    differ tell recipes apart by chance, where the logits of all texts do not.
    """
    bounded = config.min_agreement is not None or config.recipe is not None
    for group in order:
        passed: list[Trial] = []
        for recipe in group:
            trial = attempt(recipe)
            if trial is None or not trial.passed:
                continue
            agreement = trial.agreement
            if bounded or (agreement and beyond_chance(agreement, rows, bounds) >= bounds.good):
                return recipe
            passed.append(trial)
        if passed:
            return min(passed, key=lambda trial: trial.rms_difference).recipe
    return None


def _take(
    reference: Reference,
    context: QuantizationContext,
    measured: Measured,
    trials: tuple[Trial, ...],
    recipe: str,
) -> Variant:
    variant, answers = measured
    files = context.make(recipe)
    effect = measure_batch_effect(reference, files.open(), answers)
    files.move(context.floats.folder)
    quantization = Quantization(
        recipe=recipe, target=context.target.value, calibration=files.calibration, trials=trials
    )
    return replace(variant, quantization=quantization, batch_effect=effect)


def cells(trial: Trial) -> tuple[str, ...]:
    """Return a recipe's figures as the cells of a table under HEAD."""
    return (
        trial.recipe,
        "-" if trial.relative_time is None else f"{trial.relative_time:.2f}x",
        f"{trial.max_difference:.2g}",
        f"{trial.rms_difference:.2g}",
        "" if trial.metric is None else f"{trial.metric:.4f}",
        "" if trial.agreement is None else f"{trial.agreement:.2%}",
        "" if trial.batch_difference is None else f"{trial.batch_difference:.2g}",
        "passes" if trial.passed else "fails",
    )


def _introduce(config: ExportConfig, reference: Reference, order: Order) -> str:
    if config.recipe is not None:
        return f"int8 by the recipe {config.recipe} alone"
    recipes = ", ".join(recipe for group in order for recipe in group)
    if reference.evaluation is None:
        return (
            f"int8 by the nearest of {recipes}: without labelled data nothing tells whether "
            "another is needed; give --eval-data FILE"
        )
    return f"int8 recipes, in order: {recipes}"


def _summarize(trial: Trial, faults: list[str]) -> str:
    if faults:
        return f"{trial.recipe} fails: it {' and '.join(faults)}"
    agreement = "" if trial.agreement is None else f", agreement {trial.agreement:.2%}"
    return f"{trial.recipe} passes: logits off by {trial.rms_difference:.2g} (rms){agreement}"


def _try(
    config: ExportConfig, reference: Reference, recipe: str, context: QuantizationContext
) -> tuple[Variant, Answers, Trial]:
    graph = context.make(recipe)
    engine = graph.open()
    variant, answers = measure(config, reference, graph, engine, Silent())
    evaluated = reference.evaluation
    exact = evaluated.logits if evaluated else None
    recorder = Recorder(engine, kept=exact is not None)
    accuracy = measure_accuracy(reference, variant.name, recorder, Silent())
    variant = replace(variant, accuracy=accuracy)
    logits = recorder.all()
    if exact is None or logits is None:
        rms = verify.rms(reference.parity.logits, answers.padded)
    else:
        rms = verify.rms(exact, logits)
    trial = Trial(
        recipe=recipe,
        relative_time=relative_time(graph, context.floats, reference.checkpoint),
        max_difference=verify.largest(reference.parity, answers.padded),
        rms_difference=rms,
        metric=accuracy.variant if accuracy else None,
        agreement=accuracy.agreement if accuracy else None,
        batch_difference=answers.movement / reference.parity.spread,
        passed=True,
    )
    passed = not broken(config, variant, trial, task_module(reference.checkpoint.model.task).BOUNDS)
    return variant, answers, replace(trial, passed=passed)
