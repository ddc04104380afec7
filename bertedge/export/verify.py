"""What a graph answers against what the checkpoint answers: parity and golden inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertedge.bundle import Golden, Parity
from bertedge.errors import VerificationError
from bertedge.export.third_party import libraries
from bertedge.runtime.encoding import Batch, split_rows
from bertedge.runtime.engine import Engine
from bertedge.runtime.logits import logit_range, subsample_logits

INT8_TOLERANCE = 0.5
"""Share of the logits' spread that an int8 logit may be off where no labelled data decides.
Trained models stay below 0.25; products that saturate, or a damaged graph, are far above."""
GOLDEN_SLACK = 10
"""An fp32 graph on another processor adds in another order: a few times the parity bound is
accepted when a bundle is opened, while a wrong graph is off by thousands of times as much."""

FP16_TOLERANCE = 0.01
"""Share of the logits' spread that an fp16 logit may be off. Each stored value is rounded to 11
bits; over the layers of a trained MiniLM that adds up to a tenth of this."""
FP16_GOLDEN_TOLERANCE = 2 * FP16_TOLERANCE
"""Other GPUs choose other kernels, that add in another order and round other values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How far a variant's logits may be off, as a share of the spread, and what else to do."""

    tolerance: float | None
    """None: measured only."""
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceLogits:
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
        """Of the checkpoint's logits."""
        return logit_range(self.logits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The logits of a variant on the texts of `ReferenceLogits`, in the same shape."""

    padded: NDArray[np.float32]
    alone: NDArray[np.float32]
    """Each text in a batch of its own: another graph may have run."""

    @property
    def movement(self) -> float:
        """How far a logit moves with padding and with what else is in the batch."""
        return float(np.abs(self.alone - self.padded).max())


def record_logits(
    engine: Engine, batches: Sequence[Batch], *, padded: bool = True
) -> ReferenceLogits:
    """Record what `engine`, the checkpoint, answers: in the batches, or to each text alone.

    A text alone has the same logits, and PyTorch computes nothing for padding.
    """
    asked = batches if padded else [row for batch in batches for row in split_rows(batch)]
    probe = ReferenceLogits(batches=tuple(batches), logits=_answers(engine, asked))
    if not np.isfinite(probe.logits).all() or probe.spread == 0:
        raise VerificationError(
            "the checkpoint's own logits are not finite, or all the same: nothing can be compared "
            "with them; train it again"
        )
    return probe


def alone(probe: ReferenceLogits) -> ReferenceLogits:
    """Return the same texts, each in a batch of its own, without padding."""
    rows = (row for batch in probe.batches for row in split_rows(batch))
    return ReferenceLogits(batches=tuple(rows), logits=probe.logits)


def difference(probe: ReferenceLogits, engine: Engine) -> float:
    """Return the largest difference of a logit, divided by the spread of the checkpoint's."""
    return largest(probe, _answers(engine, probe.batches))


def largest(probe: ReferenceLogits, logits: NDArray[np.float32]) -> float:
    """Return the largest difference of `logits`, divided by the spread of the checkpoint's."""
    return float(np.abs((logits - probe.logits) / probe.spread).max())


def answer(probe: ReferenceLogits, engine: Engine) -> Answers:
    """Return what a variant answers to the texts, each batch run once."""
    return Answers(
        padded=_answers(engine, probe.batches), alone=_answers(engine, alone(probe).batches)
    )


def rms(exact: NDArray[np.float32], logits: NDArray[np.float32]) -> float:
    """Return the root mean square of differences `(rows, labels)`, divided by the spread."""
    off = (logits - exact) / max(logit_range(exact), 1e-9)
    return float(np.sqrt(np.mean(off**2)))


def batch_variation(probe: ReferenceLogits, engine: Engine) -> float:
    """Return how far a text's logits move with padding and with what else is in the batch.

    The largest difference, as a share of the spread, between texts alone and in padded batches.
    """
    return answer(probe, engine).movement / probe.spread


def check_parity(name: str, probe: ReferenceLogits, engine: Engine, bound: Bound) -> Parity:
    """Measure how far the variant `name` is off; VerificationError above the bound."""
    return _bounded(name, probe, _answers(engine, probe.batches), bound)


def check_answers(name: str, probe: ReferenceLogits, answers: Answers, bound: Bound) -> Parity:
    """Return the worse parity of padded batches and of each text alone, as `check_parity`."""
    found = (_bounded(name, probe, each, bound) for each in (answers.padded, answers.alone))
    return max(found, key=lambda parity: parity.max_difference)


def _bounded(
    name: str, probe: ReferenceLogits, logits: NDArray[np.float32], bound: Bound
) -> Parity:
    found = largest(probe, logits)
    bounded = bound.tolerance is None or found <= bound.tolerance
    if not (bounded and np.isfinite(found)):
        allowed = "any number" if bound.tolerance is None else f"{bound.tolerance:.2g}"
        raise VerificationError(
            f"{name} does not give the checkpoint's logits: they differ by {found:.2g} of the "
            f"spread, {allowed} is tolerated, on {probe.texts} texts in padded batches (met "
            f"{libraries()}); {bound.remedy}"
        )
    return Parity(max_difference=found, tolerance=bound.tolerance, texts=probe.texts)


def float_bound(tolerance: float) -> Bound:
    """Bound an fp32 variant: nothing but rounding may be between it and the checkpoint."""
    return Bound(tolerance=tolerance, remedy="install the versions in constraints.txt")


def fp16_bound() -> Bound:
    """Bound an fp16 variant: values of 11 bits, and nothing else, set it apart."""
    return Bound(tolerance=FP16_TOLERANCE, remedy="leave --gpu out: this model needs fp32")


def int8_bound(*, labelled: bool) -> Bound:
    """Bound an int8 variant, widely, where no labelled data decides."""
    return Bound(
        tolerance=None if labelled else INT8_TOLERANCE,
        remedy="give --eval-data FILE so that the metric decides, or leave --quantize out",
    )


def golden_tolerance(measured: Parity, *, int8: bool) -> float:
    """Return how far golden logits may be off, as a share of the spread, on another machine.

    int8 rounds at run time: a sum that another processor adds in another order can fall on the
    next step and move a logit a little. So what was measured here, half as much again and 2 % of
    the spread are accepted; products that saturate (x86 without VNNI) are off by more.
    """
    if int8 or measured.tolerance is None:
        return 1.5 * measured.max_difference + 0.02
    return GOLDEN_SLACK * measured.tolerance


def golden(probe: ReferenceLogits, texts: tuple[tuple[str, ...], ...]) -> Golden:
    """Turn the probe of the golden texts into what the manifest records: the shortest decimals."""
    rows = (tuple(float(str(value)) for value in row) for row in probe.logits)
    return Golden(texts=texts, logits=tuple(rows))


def _answers(engine: Engine, batches: Sequence[Batch]) -> NDArray[np.float32]:
    rows = []
    for batch in batches:
        logits = subsample_logits(engine.logits(batch))
        rows.append(logits[batch.attention_mask.astype(bool)] if logits.ndim == 3 else logits)
    return np.concatenate(rows)
