"""Weights rounded so that the errors of a product cancel on texts like the user's.

Rounding each weight to the nearest level ignores that channels move together. Here the inputs'
channels are rounded one after the other, and what was lost is made up for by those still to come
(Frantar et al. 2022, "GPTQ"). Scales and levels are those of the quantizer: the graph costs the
same.
"""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bertedge.bundle import GraphPass
from bertedge.export.graph.values import array_of
from bertedge.export.quantization.calibration import CalibrationTexts
from bertedge.export.quantization.matmuls import find_matmuls, watch_inputs

DAMPING = 0.01
"""Share of the mean second moment that is added to each: the texts are a sample."""
BLOCK = 64
"""Channels whose errors are passed on together, which is faster and changes nothing."""

Moments = Mapping[str, NDArray[np.float32]]


def second_moments(model: ir.Model, texts: CalibrationTexts) -> Moments:
    """Sum the products of the channels, `(channels, channels)`, that each product reads."""
    moments: dict[str, NDArray[np.float32]] = {}
    for values in watch_inputs(model, texts.batches()):
        for name, value in values.items():
            moments[name] = moments.get(name, np.float32(0)) + value.T @ value
    return moments


def round_weights(model: ir.Model, floats: ir.Model, moments: Moments) -> GraphPass:
    """Round the int8 weights of `model` anew, in place, from those of the graph it was made of."""
    made = model.graph.initializers
    count = 0
    for node in find_matmuls(floats):
        source, kernel, *_ = node.inputs
        levels = made.get(f"{kernel.name}_quantized")
        if levels is None:  # the product stayed in float
            continue
        weight = array_of(kernel)
        if node.op_type == "Gemm" and node.attributes.get_int("transB", 0):
            weight = weight.T
        scales = array_of(made[f"{kernel.name}_scale"])
        limit = int(np.abs(array_of(levels).astype(np.int32)).max())
        rounded = round_together(weight, scales, moments[source.name], limit)
        levels.const_value = ir.tensor(rounded, name=levels.name)
        count += 1
    return GraphPass(name="weights-rounded-together", nodes=count)


def round_together(
    weight: NDArray[np.float32],
    scales: NDArray[np.float32],
    moments: NDArray[np.float32],
    limit: int,
) -> NDArray[np.int8]:
    """Round `(inner, outer)` to levels within `limit`, least off on inputs of these moments.

    The channels with the largest moments come first, as their errors weigh most.
    """
    order = np.argsort(-np.diag(moments), kind="stable")
    ahead = _compensation(moments[np.ix_(order, order)])
    left = weight[order].astype(np.float64)
    steps = scales.astype(np.float64)
    levels = np.empty(weight.shape, np.int8)
    for start in range(0, len(left), BLOCK):
        block = slice(start, min(start + BLOCK, len(left)))
        errors = np.empty_like(left[block])
        for i in range(block.start, block.stop):
            level = np.clip(np.rint(left[i] / steps), -limit, limit)
            levels[order[i]] = level
            error = (left[i] - level * steps) / ahead[i, i]
            left[i + 1 : block.stop] -= np.outer(ahead[i, i + 1 : block.stop], error)
            errors[i - start] = error
        left[block.stop :] -= ahead[block, block.stop :].T @ errors
    return levels


def _compensation(moments: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the upper triangle `(channels, channels)` that spreads errors to later channels."""
    damped = moments.astype(np.float64)
    diagonal = np.diag(damped)
    damped[np.diag_indices_from(damped)] += DAMPING * diagonal.mean() + (diagonal == 0)
    return np.linalg.cholesky(np.linalg.inv(damped)).T
