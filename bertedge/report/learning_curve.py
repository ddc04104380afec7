"""How the metric grows with the rows of the training file.

Where data are scarce and a model large enough, its error falls as a power of the rows (Hestness et
al. 2017, arXiv:1712.00409, eq. 1): on logarithmic axes that is a straight line, which is fitted to
the largest shares and drawn out to twice the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertedge.report.intervals import Interval, interval, metric_of, resample
from bertedge.report.record import LearningCurve, LearningPoint

FITTED = 3
"""Of the points, the largest ones: small shares are often off the line."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A model of some of the training rows, and what it is on the rows of the report."""

    rows: int
    per_text: Floats
    """Each row's part of the metric, see `Evaluation.per_text`."""


def learning_curve(shares: Sequence[Share], metric: str) -> LearningCurve:
    """Return the metric by training rows, smallest share first, and what twice as many may bring.

    The interval is that of the same texts drawn again for all models; what another draw of the
    training rows or another seed would change is not in it.
    """
    values = np.array([[metric_of(each.per_text, metric)] for each in shares])
    draws = np.array([resample(each.per_text, metric) for each in shares])
    rows = np.array([each.rows for each in shares])
    least = 0.5 / max(len(shares[-1].per_text), 1)  # half a text is wrong where none is
    gains = gain_of_twice(rows, draws, least)
    low, high = np.quantile(gains, (0.025, 0.975))
    gain = float(gain_of_twice(rows, values, least)[0])
    return LearningCurve(
        points=tuple(
            LearningPoint(rows=each.rows, metric=interval(each.per_text, metric)) for each in shares
        ),
        twice=Interval(value=gain, low=float(low), high=float(high)),
    )


def gain_of_twice(rows: NDArray[np.int64], values: Floats, least: float) -> Floats:
    """Return what twice the rows of the last point add to its metric `(draws,)`.

    `values` are `(points, draws)`. With error `1 - metric = c · rows^slope`, of which the slope is
    fitted by least squares, twice the rows leave `2^slope` of the last error. On such a curve no
    doubling brings more than the one before: what that brought is the most that is said.
    """
    error = np.maximum(1 - values[-FITTED:], least)
    across = np.log(rows[-FITTED:])
    across = across - across.mean()
    slope = across @ np.log(error) / (across @ across)
    return np.asarray(np.minimum(error[-1] * (1 - 2.0**slope), error[-2] - error[-1]))
