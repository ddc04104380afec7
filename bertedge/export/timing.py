"""A quick look at how long one graph takes beside another: for a table, not for a claim."""

import statistics
import time
from collections.abc import Sequence

import numpy as np

from bertedge.checkpoint import Checkpoint
from bertedge.export.final import Shipped
from bertedge.runtime.batching import Batch
from bertedge.runtime.session import Engine

SHAPES = ((1, 16), (1, 128), (8, 128))
ROUNDS = (5, 100)
"""At least and at most, within SECONDS a shape."""
SECONDS = 0.4


def relative_time(graph: Shipped, reference: Shipped, checkpoint: Checkpoint) -> float:
    """Return the time of `graph` divided by that of `reference`, a mean over SHAPES.

    Both take turns, so that a busy machine slows both.
    """
    if graph.model == reference.model and graph.weights == reference.weights:
        return 1.0
    engines = [graph.open(), reference.open()]
    ratios = [_ratio(engines, _batch(shape, checkpoint)) for shape in SHAPES]
    return statistics.geometric_mean(ratios)


def _ratio(engines: Sequence[Engine], batch: Batch) -> float:
    times: list[list[float]] = [[], []]
    for engine in engines:
        engine.logits(batch)
    until = time.perf_counter() + SECONDS
    while len(times[0]) < ROUNDS[0] or (time.perf_counter() < until and len(times[0]) < ROUNDS[1]):
        for engine, taken in zip(engines, times, strict=True):
            taken.append(_seconds(engine, batch))
    return statistics.median(times[0]) / statistics.median(times[1])


def _seconds(engine: Engine, batch: Batch) -> float:
    began = time.perf_counter()
    engine.logits(batch)
    return time.perf_counter() - began


def _batch(shape: tuple[int, int], checkpoint: Checkpoint) -> Batch:
    shape = (shape[0], min(shape[1], checkpoint.max_length))
    ids = np.random.default_rng(0).integers(0, checkpoint.source.vocabulary, shape, np.int64)
    return Batch(input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids))
