"""What a graph answers against what the checkpoint answers: parity and golden inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertedge.bundle import Golden, Parity
from bertedge.errors import VerificationError
from bertedge.export.quiet import libraries
from bertedge.runtime.batching import Batch
from bertedge.runtime.session import Engine

INT8_TOLERANCE = 0.5
"""Share of the logits' spread that an int8 logit may be off where no labelled data decides.
Trained models stay below 0.25; products that saturate, or a damaged graph, are far above."""
GOLDEN_SLACK = 10
"""An fp32 graph on another processor adds in another order: a few times the parity bound is
accepted when a bundle is opened, while a wrong graph is off by thousands of times as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How far a variant's logits may be off, as a share of the spread, and what else to do."""

    tolerance: float | None
    """None: measured only."""
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Padded batches, and the checkpoint's logits on them without padding."""

    batches: tuple[Batch, ...]
    logits: NDArray[np.float32]
    """`(rows, labels)`: a row a text, or a row a token of all texts in turn."""

    @property
    def texts(self) -> int:
        """How many texts there are."""
        return sum(len(batch.input_ids) for batch in self.batches)

    @property
    def spread(self) -> float:
        """Difference between the largest and the smallest logit."""
        return float(self.logits.max() - self.logits.min())


def ask(engine: Engine, batches: Sequence[Batch]) -> Probe:
    """Record what `engine`, the checkpoint, answers."""
    probe = Probe(batches=tuple(batches), logits=_answers(engine, batches))
    if not np.isfinite(probe.logits).all() or probe.spread == 0:
        raise VerificationError(
            "the checkpoint's own logits are not finite, or all the same: nothing can be compared "
            "with them; train it again"
        )
    return probe


def difference(probe: Probe, engine: Engine) -> float:
    """Return the largest difference of a logit, divided by the spread of the checkpoint's."""
    return float(np.abs(_answers(engine, probe.batches) - probe.logits).max()) / probe.spread


def check_parity(name: str, probe: Probe, engine: Engine, bound: Bound) -> Parity:
    """Measure how far the variant `name` is off; VerificationError above the bound."""
    found = difference(probe, engine)
    if not found <= (np.inf if bound.tolerance is None else bound.tolerance):  # NaN must not pass
        allowed = "any number" if bound.tolerance is None else f"{bound.tolerance:.2g}"
        raise VerificationError(
            f"{name} does not give the checkpoint's logits: they differ by {found:.2g} of the "
            f"spread, {allowed} is tolerated, on {probe.texts} texts in padded batches (met "
            f"{', '.join(libraries())}); {bound.remedy}"
        )
    return Parity(max_difference=found, tolerance=bound.tolerance, texts=probe.texts)


def float_bound(tolerance: float) -> Bound:
    """Bound an fp32 variant: nothing but rounding may be between it and the checkpoint."""
    return Bound(tolerance=tolerance, remedy="install the versions in constraints.txt")


def int8_bound(*, labelled: bool) -> Bound:
    """Bound an int8 variant, widely, where no labelled data decides."""
    return Bound(
        tolerance=None if labelled else INT8_TOLERANCE,
        remedy="give --eval-data FILE so that the metric decides, or leave --quantize out",
    )


def golden_tolerance(measured: Parity, *, int8: bool) -> float:
    """Say how far the golden answers may be off when a bundle is opened elsewhere.

    int8 rounds at run time: a sum that another processor adds in another order can fall on the
    next step and move a logit a little. So what was measured here, half as much again and 2 % of
    the spread are accepted; products that saturate (x86 without VNNI) are off by more.
    """
    if int8 or measured.tolerance is None:
        return 1.5 * measured.max_difference + 0.02
    return GOLDEN_SLACK * measured.tolerance


def golden(probe: Probe, texts: tuple[tuple[str, ...], ...]) -> Golden:
    """Turn the probe of the golden texts into what the manifest records: the shortest decimals."""
    rows = (tuple(float(str(value)) for value in row) for row in probe.logits)
    return Golden(texts=texts, logits=tuple(rows))


def _answers(engine: Engine, batches: Sequence[Batch]) -> NDArray[np.float32]:
    rows = []
    for batch in batches:
        logits = engine.logits(batch)
        rows.append(logits[batch.attention_mask.astype(bool)] if logits.ndim == 3 else logits)
    return np.concatenate(rows)
