"""A quick look at how long one graph takes beside another: for a table, not for a claim."""

import statistics
import time
from collections.abc import Sequence

import numpy as np

from bertedge.checkpoint import Checkpoint
from bertedge.export.graph.serialize import GraphFiles
from bertedge.runtime.encoding import Batch
from bertedge.runtime.engine import Engine

SHAPES = ((1, 16), (1, 128), (8, 128))
BLOCKS = 5
"""Of rounds, whose ratios are compared with each other: how far they differ is the noise."""
BLOCK_ROUNDS = (1, 20)
"""At least and at most, within BLOCK_SECONDS a shape."""
BLOCK_SECONDS = 0.08
QUIET = 0.05
"""Blocks that differ by less than this are worth showing whatever the ratio."""


def relative_time(graph: GraphFiles, reference: GraphFiles, checkpoint: Checkpoint) -> float | None:
    """Return the time of `graph` divided by that of `reference`, a mean over SHAPES.

    Both take turns, so that a busy machine slows both. None where that did not help: see
    `beyond_noise`.
    """
    if graph.model == reference.model and graph.weights == reference.weights:
        return 1.0
    engines = [graph.open(), reference.open()]
    batches = [_batch(shape, checkpoint) for shape in SHAPES]
    for batch in batches:
        for engine in engines:
            engine.logits(batch)
    return beyond_noise([_ratio(engines, batches) for _ in range(BLOCKS)])


def beyond_noise(ratios: Sequence[float]) -> float | None:
    """Return the median of a ratio's repetitions, or None where they do not tell it.

    Their range (largest - smallest) is the noise: it must be less than QUIET, or than the
    distance of the median from 1.
    """
    middle, noise = statistics.median(ratios), max(ratios) - min(ratios)
    return middle if noise < max(QUIET, abs(middle - 1)) else None


def _ratio(engines: Sequence[Engine], batches: Sequence[Batch]) -> float:
    """Return one block's ratio, the geometric mean over all shapes."""
    ratios = []
    for batch in batches:
        times: list[list[float]] = [[], []]
        until = time.perf_counter() + BLOCK_SECONDS
        least, most = BLOCK_ROUNDS
        while len(times[0]) < least or (time.perf_counter() < until and len(times[0]) < most):
            for engine, taken in zip(engines, times, strict=True):
                taken.append(_seconds(engine, batch))
        ratios.append(statistics.median(times[0]) / statistics.median(times[1]))
    return statistics.geometric_mean(ratios)


def _seconds(engine: Engine, batch: Batch) -> float:
    began = time.perf_counter()
    engine.logits(batch)
    return time.perf_counter() - began


def _batch(shape: tuple[int, int], checkpoint: Checkpoint) -> Batch:
    shape = (shape[0], min(shape[1], checkpoint.model.max_length))
    return Batch.full(np.random.default_rng(0).integers(0, checkpoint.source.vocabulary, shape))
