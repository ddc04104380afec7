"""How much rounding what each product reads moves the logits."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bertedge.export.quantization.matmuls import MatMul, copy_of, feed, find_matmuls, open_float
from bertedge.runtime.batching import Batch

SWITCHES = "round_site"
FEW = 8
"""At most one product in this many is left in float: each costs several times its int8 time."""
ENOUGH = 0.5
"""Share of the damage (squared) that the products left in float must have done."""


def measure_sensitivities(model: onnx.ModelProto, batches: Sequence[Batch]) -> dict[str, float]:
    """Give each product the root mean square of the logits' change when only it is rounded.

    One graph with a switch a product, so that one session measures them all. The weights stay
    in float: rounded a channel, they do a sixth of what the activations do (MiniLM, SST-2).
    """
    sites = find_matmuls(model)
    session = open_float(_switched(model, sites))
    squares = np.zeros(len(sites))
    for batch in batches:
        exact = _logits(session, batch, np.zeros(len(sites), np.bool_))
        for i in range(len(sites)):
            found = _logits(session, batch, np.arange(len(sites)) == i)
            squares[i] += float(np.mean((found - exact) ** 2))
    means = np.sqrt(squares / len(batches))
    return {site.node: float(mean) for site, mean in zip(sites, means, strict=True)}


def most_sensitive(effects: Mapping[str, float]) -> tuple[str, ...]:
    """Name the few products that do most of the damage, the worst first."""
    worst = sorted(effects, key=lambda name: -effects[name])[: max(len(effects) // FEW, 1)]
    total = sum(effect**2 for effect in effects.values())
    done = np.cumsum([effects[name] ** 2 for name in worst])
    return tuple(worst[: int(np.searchsorted(done, ENOUGH * total)) + 1])


def _switched(model: onnx.ModelProto, sites: Sequence[MatMul]) -> onnx.ModelProto:
    copy = copy_of(model)
    graph = copy.graph
    graph.input.append(helper.make_tensor_value_info(SWITCHES, onnx.TensorProto.BOOL, [len(sites)]))
    numbers = {site.node: i for i, site in enumerate(sites)}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.name in numbers:
            number = numbers[node.name]
            place = numpy_helper.from_array(np.array(number, np.int64), f"{SWITCHES}_{number}")
            graph.initializer.append(place)
            nodes += _switch(node, place.name)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return copy


def _switch(node: onnx.NodeProto, place: str) -> list[onnx.NodeProto]:
    """Let `node` read its input rounded where the switch at `place` is on."""
    exact, made = node.input[0], [f"{place}_{part}" for part in ("q", "scale", "zero", "rounded")]
    node.input[0] = f"{place}_read"
    return [
        helper.make_node("DynamicQuantizeLinear", [exact], made[:3]),
        helper.make_node("DequantizeLinear", made[:3], made[3:]),
        helper.make_node("Gather", [SWITCHES, place], [f"{place}_on"]),
        helper.make_node("Where", [f"{place}_on", made[3], exact], [f"{place}_read"]),
    ]


def _logits(session: Any, batch: Batch, switches: NDArray[np.bool_]) -> NDArray[np.float32]:
    (logits, *_) = session.run(None, feed(session, batch) | {SWITCHES: switches})
    return np.asarray(logits)
