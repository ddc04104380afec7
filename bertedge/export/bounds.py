"""What a quantized variant must keep to be taken, and what it breaks where it is not."""

import math
from collections.abc import Sequence

from bertedge.bundle import Accuracy, Trial, Variant
from bertedge.export.accuracy import FEW_ROWS, drop, exceeds
from bertedge.export.config import (
    BATCH_TOLERANCE,
    INDEPENDENT_RECIPES,
    BatchEffects,
    ExportConfig,
)
from bertedge.tasks.contract import LABEL_BOUNDS, AgreementBounds

Z_95 = 1.645
"""Standard deviations: the share is at least this high with a probability of 95 %."""


def agrees(
    config: ExportConfig, share: float, rows: int, bounds: AgreementBounds = LABEL_BOUNDS
) -> bool:
    """Return whether agreement is enough: the user's bound, or not beyond doubt too little."""
    if config.min_agreement is not None:
        return share >= config.min_agreement
    return 1 - beyond_chance(1 - share, rows, bounds) >= bounds.least


def beyond_chance(share: float, rows: int, bounds: AgreementBounds) -> float:
    """Return the agreement that is there beyond what chance may do on so many rows."""
    return at_least(share, rows) if bounds.counted else share


def at_least(share: float, rows: int) -> float:
    """Return the lower bound of a share that was found on so many rows (Wilson 1927).

    An F1 of entities is no count of rows, which is what scipy's interval takes.
    """
    if rows == 0:
        return 0.0
    weight = Z_95**2 / rows
    margin = Z_95 * math.sqrt((share * (1 - share) + weight / 4) / rows)
    return (share + weight / 2 - margin) / (1 + weight)


def faults_of(
    config: ExportConfig, accuracy: Accuracy | None, bounds: AgreementBounds
) -> list[str]:
    """Return the bounds that a model breaks on the labelled data, each with its figure."""
    if accuracy is None:
        return []
    found = []
    if exceeds(accuracy, config.max_drop):
        found.append(
            f"loses {drop(accuracy):.2f} points of {accuracy.metric} (--max-drop is "
            f"{config.max_drop:g})"
        )
    least = bounds.least if config.min_agreement is None else config.min_agreement
    if not agrees(config, accuracy.agreement, accuracy.entities or accuracy.rows, bounds):
        what = f"{{:.2%}} of the {bounds.unit}" if bounds.counted else "a mean cosine of {:.4f}"
        found.append(
            f"agrees with the checkpoint on {what.format(accuracy.agreement)} (at least {least:g} "
            "is needed)"
        )
    return found


def broken(
    config: ExportConfig, variant: Variant, trial: Trial, bounds: AgreementBounds
) -> list[str]:
    """Return the bounds that a quantized variant breaks, each with its figure."""
    found = faults_of(config, variant.accuracy, bounds)
    moved = trial.batch_difference
    if moved is not None and _is_bound(config, trial) and not moved <= BATCH_TOLERANCE:
        found.append(
            f"moves a text's logits by {moved:.2g} of their spread with its batch "
            f"({BATCH_TOLERANCE:g} is allowed; see --batch-effects)"
        )
    return found


def refusal(
    config: ExportConfig,
    trials: Sequence[Trial],
    variants: Sequence[Variant],
    bounds: AgreementBounds,
) -> str:
    """Return the message that names what the best recipe still breaks, and what to do."""
    best = max(
        range(len(trials)), key=lambda i: (trials[i].agreement or 0, -trials[i].rms_difference)
    )
    accuracy = variants[best].accuracy
    on = f" on {accuracy.data}" if accuracy else ""
    remedies = ["raise --max-drop or lower --min-agreement" if accuracy else ""]
    if accuracy and accuracy.rows < FEW_ROWS:
        remedies.append(f"give more than these {accuracy.rows} rows (--eval-data)")
    remedies.append("leave --recipe-int8 out" if config.recipe else "leave --quantize out")
    faults = " and ".join(broken(config, variants[best], trials[best], bounds))
    which = "the recipe" if len(trials) == 1 else f"none of {len(trials)} recipes passes: the best,"
    return f"{which} {trials[best].recipe}, {faults}{on}; " + ", or ".join(filter(None, remedies))


def _is_bound(config: ExportConfig, trial: Trial) -> bool:
    """Return whether a recipe may not let answers depend on the batch."""
    match config.batch_effects:
        case BatchEffects.REFUSE:
            return True
        case BatchEffects.AVOID:  # one that promises it and fails is worth no preference
            return config.recipe is None and trial.recipe in INDEPENDENT_RECIPES
        case BatchEffects.ALLOW:
            return False
