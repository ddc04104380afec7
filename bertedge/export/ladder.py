"""The ways to int8, cheapest first, until one keeps the user's budget."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bertedge.bundle import Quantization, Rung, Variant
from bertedge.errors import VerificationError
from bertedge.export import verify
from bertedge.export.accuracy import FEW_ROWS, Recorder, drop, rms
from bertedge.export.config import ExportConfig
from bertedge.export.final import Shipped
from bertedge.export.proof import Subject, measure, measure_accuracy
from bertedge.export.recipes import Made, Workshop
from bertedge.export.timing import relative_time
from bertedge.progress import Progress, Silent
from bertedge.tasks import Task

LADDER = ("dynamic", "static", "outliers", "float-nodes", "fp32")
"""By measured time: static scales save a pass over the activations, the outliers' few nodes cost
about 5 %, products in float 15 % and more; fp32 costs two to five times the time."""
INVARIANT_LADDER = ("static", "outliers-static", "fp32")
INVARIANCE = 1e-5
"""Share of the spread by which a text's logits may move with what else is in the batch."""
CHEAP = {False: LADDER[:3], True: INVARIANT_LADDER[:2]}
"""By `--invariant`: the rungs within a few percent of each other's time."""
SURELY = 1.645
"""Standard deviations: the share is as high with a probability of 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """What is asked of the agreement with the checkpoint."""

    good: float
    """A rung that surely has it is taken at once."""
    least: float
    """A rung that surely has less is none, whatever the budget."""
    counted: bool
    """Whether it is a share of rows, of which chance decides the more the fewer there are."""


LABELS = Bars(good=0.995, least=0.98, counted=True)
EMBEDDINGS = Bars(good=0.998, least=0.99, counted=False)
"""Mean cosines: 0.9988 cost no Spearman on STS-B, 0.9942 cost 0.14 points (MiniLM)."""
SPANS = Bars(good=0.98, least=0.9, counted=True)
"""An answer is one span of hundreds, and one token more or less is another: on 1,549 questions of
SQuAD 95.4 % of the same spans cost 0.3 points of F1, 85.7 % cost 1.1 (MiniLM)."""
HEAD = ("rung", "time", "logits off by", "rms", "metric", "agreement", "batch moves by", "")
_WIDTHS = (15, 5, 13, 8, 7, 12, 14, 6)


def plan(config: ExportConfig, *, labelled: bool) -> tuple[str, ...]:
    """List the recipes to try, in order; without labelled data nothing tells one from the next."""
    if config.recipe is not None:
        return (config.recipe,)
    ladder = INVARIANT_LADDER if config.invariant else LADDER
    return ladder if labelled else ladder[:1]


def climb(config: ExportConfig, subject: Subject, shop: Workshop, progress: Progress) -> Variant:
    """Make and measure recipes until one passes; VerificationError where none does.

    The graph that passes lies beside the float one, under its variant's name.
    """
    recipes = plan(config, labelled=subject.yardstick is not None)
    progress.say(_introduce(config, subject, recipes))
    progress.say(_line(HEAD))
    made: list[Made] = []
    rungs: list[Rung] = []
    variants: list[Variant] = []
    for recipe in recipes:
        began = time.perf_counter()
        made.append(shop.make(recipe))
        variant, rung = _try(config, subject, recipe, made[-1].shipped, shop)
        rungs.append(rung)
        variants.append(variant)
        progress.say(f"{_line(cells(rung))}  {time.perf_counter() - began:.0f} s")
        accuracy = variant.accuracy
        taken = choose(config, rungs, rows=accuracy.rows if accuracy else 0, bars=bars_of(subject))
        if taken is not None:
            made[taken].shipped.move(shop.floats.folder)
            quantization = Quantization(
                recipe=recipes[taken],
                target=shop.target.value,
                calibration=made[taken].calibration,
                rungs=tuple(rungs),
            )
            return replace(variants[taken], quantization=quantization)
    raise VerificationError(_refusal(config, rungs, variants, bars_of(subject)))


def cells(rung: Rung) -> tuple[str, ...]:
    """Give a rung's figures as the cells of a table under HEAD."""
    return (
        rung.recipe,
        f"{rung.relative_time:.2f}x",
        f"{rung.max_difference:.2g}",
        f"{rung.rms_difference:.2g}",
        "" if rung.metric is None else f"{rung.metric:.4f}",
        "" if rung.agreement is None else f"{rung.agreement:.2%}",
        "" if rung.invariance is None else f"{rung.invariance:.2g}",
        "passes" if rung.passed else "fails",
    )


def _line(row: tuple[str, ...]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(row, _WIDTHS, strict=True)).rstrip()


def _introduce(config: ExportConfig, subject: Subject, recipes: tuple[str, ...]) -> str:
    if config.recipe is not None:
        return f"int8 by the recipe {config.recipe} alone"
    if subject.yardstick is None:
        return (
            f"int8 by the recipe {recipes[0]} alone: without labelled data nothing tells whether "
            "another is needed; give --eval-data FILE"
        )
    return f"int8, cheapest first: {', '.join(recipes)}"


def _try(
    config: ExportConfig, subject: Subject, recipe: str, shipped: Shipped, shop: Workshop
) -> tuple[Variant, Rung]:
    engine = shipped.open()
    variant = measure(config, subject, shipped, engine, Silent())
    yardstick = subject.yardstick
    exact = yardstick.logits if yardstick else None
    recorder = Recorder(engine, kept=exact is not None)
    accuracy = measure_accuracy(subject, variant.name, recorder, Silent())
    variant = replace(variant, accuracy=accuracy)
    logits = recorder.all()
    difference = verify.compare(subject.parity, engine)
    moved = verify.variance(subject.parity, engine) if config.invariant else None
    rung = Rung(
        recipe=recipe,
        relative_time=relative_time(shipped, shop.reference, subject.checkpoint),
        max_difference=difference.largest,
        rms_difference=(difference.rms if exact is None or logits is None else rms(exact, logits)),
        metric=accuracy.variant if accuracy else None,
        agreement=accuracy.agreement if accuracy else None,
        invariance=moved,
        passed=not _broken(config, variant, moved, bars_of(subject)),
    )
    return variant, rung


def bars_of(subject: Subject) -> Bars:
    """Tell what agreement stands for."""
    if subject.checkpoint.task is Task.QUESTION_ANSWERING:
        return SPANS
    return EMBEDDINGS if subject.checkpoint.pooling else LABELS


def choose(
    config: ExportConfig, rungs: Sequence[Rung], *, rows: int, bars: Bars = LABELS
) -> int | None:
    """Tell which of the rungs so far is taken; None to try the next.

    A budget of the user's is kept by the first rung within it. Without one, a rung that agrees on
    `bars.good` beyond what chance may do on so many rows is taken at once; else, when all CHEAP
    ones were tried, the one whose logits are nearest to the checkpoint's: a few labels that differ
    tell rungs apart by luck, where the logits of all texts do not.
    """
    last = rungs[-1]
    told = config.min_agreement is not None or config.recipe is not None or last.agreement is None
    sure = last.agreement is not None and _surely(last.agreement, rows, bars) >= bars.good
    if last.passed and (told or sure):
        return len(rungs) - 1
    cheap = CHEAP[config.invariant]
    passed = [i for i, rung in enumerate(rungs) if rung.passed]
    if told or not passed or last.recipe in cheap[:-1]:
        return None
    return min(passed, key=lambda i: rungs[i].rms_difference)


def agrees(config: ExportConfig, share: float, rows: int, bars: Bars = LABELS) -> bool:
    """Tell whether agreement is enough: the user's, or not surely too little."""
    if config.min_agreement is not None:
        return share >= config.min_agreement
    return 1 - _surely(1 - share, rows, bars) >= bars.least


def _surely(share: float, rows: int, bars: Bars) -> float:
    return at_least(share, rows) if bars.counted else share


def at_least(share: float, rows: int) -> float:
    """Give the lower bound of a share that was found on so many rows (Wilson 1927)."""
    if rows == 0:
        return 0.0
    weight = SURELY**2 / rows
    margin = SURELY * math.sqrt((share * (1 - share) + weight / 4) / rows)
    return (share + weight / 2 - margin) / (1 + weight)


def _broken(config: ExportConfig, variant: Variant, moved: float | None, bars: Bars) -> list[str]:
    """Say which promises a variant breaks, each with its figure and what would allow it."""
    broken = []
    accuracy = variant.accuracy
    if accuracy is not None and drop(accuracy) > config.max_drop:
        broken.append(
            f"loses {drop(accuracy):.2f} points of {accuracy.metric} ({accuracy.variant:.4f} "
            f"against the checkpoint's {accuracy.checkpoint:.4f}; --max-drop is "
            f"{config.max_drop:g})"
        )
    least = bars.least if config.min_agreement is None else config.min_agreement
    if accuracy is not None and not agrees(config, accuracy.agreement, accuracy.rows, bars):
        what = "on {:.2%} of the labels" if bars.counted else "to a mean cosine of {:.4f}"
        broken.append(
            f"agrees with the checkpoint {what.format(accuracy.agreement)} "
            f"(at least {least:g} is asked for; see --min-agreement)"
        )
    if moved is not None and not moved <= INVARIANCE:
        broken.append(
            f"moves a text's logits by {moved:.2g} of their spread with what else is in the batch "
            f"({INVARIANCE:g} is what --invariant allows)"
        )
    return broken


def _refusal(config: ExportConfig, rungs: list[Rung], variants: list[Variant], bars: Bars) -> str:
    """Say what the best recipe still breaks, and what to do."""
    best = max(range(len(rungs)), key=lambda i: (rungs[i].agreement or 0, -rungs[i].rms_difference))
    accuracy = variants[best].accuracy
    on = f" on {accuracy.data}" if accuracy else ""
    remedies = ["allow more with --max-drop and --min-agreement" if accuracy else ""]
    if accuracy and accuracy.rows < FEW_ROWS:
        remedies.append(f"measure on more than these {accuracy.rows} rows with --eval-data")
    remedies.append(
        "leave --recipe-int8 out for the whole ladder"
        if config.recipe
        else "leave --quantize out for the fp32 variant"
    )
    broken = " and ".join(_broken(config, variants[best], rungs[best].invariance, bars))
    which = "the recipe" if len(rungs) == 1 else f"none of {len(rungs)} recipes passes: the best,"
    return f"{which} {rungs[best].recipe}, {broken}{on}; " + ", or ".join(filter(None, remedies))
