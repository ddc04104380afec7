"""How much rounding what each product reads moves the logits."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bertedge.export.graph.values import add_constant
from bertedge.export.quantization.matmuls import feed, find_matmuls, open_float
from bertedge.runtime.encoding import Batch

SWITCHES = "round_site"
FEW = 8
"""At most one product in this many is left in float: each costs several times its int8 time."""
ENOUGH = 0.5
"""Share of the damage (squared) that the products left in float must have done."""


def measure_sensitivities(model: ir.Model, batches: Sequence[Batch]) -> dict[str, float]:
    """Return for each product the root mean square of the logits' change when only it is rounded.

    One graph with a switch a product, so that one session measures them all. The weights stay
    in float: rounded a channel, they do a sixth of what the activations do (MiniLM, SST-2).
    """
    names = [node.name for node in find_matmuls(model)]
    session = open_float(_switched(model))
    squares = np.zeros(len(names))
    for batch in batches:
        exact = _logits(session, batch, np.zeros(len(names), np.bool_))
        for i in range(len(names)):
            found = _logits(session, batch, np.arange(len(names)) == i)
            squares[i] += float(np.mean((found - exact) ** 2))
    means = np.sqrt(squares / len(batches))
    return {name: float(mean) for name, mean in zip(names, means, strict=True)}


def most_sensitive(effects: Mapping[str, float]) -> tuple[str, ...]:
    """Return the names of the few products that move the logits most, the worst first."""
    worst = sorted(effects, key=lambda name: -effects[name])[: max(len(effects) // FEW, 1)]
    total = sum(effect**2 for effect in effects.values())
    done = np.cumsum([effects[name] ** 2 for name in worst])
    return tuple(worst[: int(np.searchsorted(done, ENOUGH * total)) + 1])


def _switched(model: ir.Model) -> ir.Model:
    """Return a copy whose products read their input rounded where their switch is on."""
    switched = model.clone()
    graph = switched.graph
    products = find_matmuls(switched)
    switches = ir.val(SWITCHES, ir.DataType.BOOL, [len(products)])
    graph.inputs.append(switches)
    for number, node in enumerate(products):
        place = add_constant(graph, f"{SWITCHES}_{number}", np.array(number, np.int64))
        exact = node.inputs[0]
        quantize = ir.node("DynamicQuantizeLinear", [exact], num_outputs=3)
        rounded = ir.node("DequantizeLinear", quantize.outputs)
        on = ir.node("Gather", [switches, place])
        read = ir.node("Where", [on.outputs[0], rounded.outputs[0], exact])
        graph.insert_before(node, [quantize, rounded, on, read])
        node.replace_input_with(0, read.outputs[0])
    return switched


def _logits(session: Any, batch: Batch, switches: NDArray[np.bool_]) -> NDArray[np.float32]:
    (logits, *_) = session.run(None, feed(session, batch) | {SWITCHES: switches})
    return np.asarray(logits)
