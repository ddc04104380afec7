"""What the latest requests of each model were like, for the page."""

import math
import time
from collections import defaultdict, deque
from typing import Any

WINDOW_S = 10.0
KEPT = 1024
"""Answers of a model that are kept; more would cost time whenever someone looks."""


class Recent:
    """Answers and errors of the last seconds. For one thread, the event loop's."""

    def __init__(self) -> None:
        self._answers: dict[str, deque[tuple[float, int, float]]] = defaultdict(_kept)
        self._errors: dict[str, deque[float]] = defaultdict(_kept)

    def answered(self, model: str, rows: int, seconds: float) -> None:
        """Note an answer, and how long it took."""
        self._answers[model].append((time.monotonic(), rows, seconds))

    def failed(self, model: str) -> None:
        """Note a request that got no answer but an error."""
        self._errors[model].append(time.monotonic())

    def summary(self, model: str) -> dict[str, float | None]:
        """Return rates, median and 99th percentile of a model in the last `WINDOW_S` seconds."""
        since = time.monotonic() - WINDOW_S
        recent = [each for each in self._answers.get(model, ()) if each[0] >= since]
        errors = [each for each in self._errors.get(model, ()) if each >= since]
        span = _span([when for when, _, _ in recent])
        took = sorted(seconds for _, _, seconds in recent)
        return {
            "requests_per_second": len(recent) / span,
            "rows_per_second": sum(rows for _, rows, _ in recent) / span,
            "p50_ms": _percentile(took, 0.5),
            "p99_ms": _percentile(took, 0.99),
            "errors_per_second": len(errors) / _span(errors),
        }


def _kept() -> deque[Any]:
    return deque(maxlen=KEPT)


def _span(times: list[float]) -> float:
    """Return how many seconds they are of: less than the window where more came than are kept."""
    return max(time.monotonic() - times[0], 1e-3) if len(times) == KEPT else WINDOW_S


def _percentile(ordered: list[float], share: float) -> float | None:
    """Return the least value in milliseconds that `share` of all values do not exceed."""
    if not ordered:
        return None
    return 1000 * ordered[math.ceil(share * len(ordered)) - 1]
