from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from bertedge.export.graph.values import add_constant, array_of, count_operators, to_proto
from bertedge.export.quantization.matmuls import find_matmuls, float_branches, watch_inputs
from bertedge.export.quantization.outlier_channels import FLOAT_BRANCH, fold_outliers, outliers_of
from bertedge.export.quantization.sensitivity import measure_sensitivities, most_sensitive
from bertedge.export.verify import ReferenceLogits, difference, record_logits

Fuse = Callable[..., Any]
Open = Callable[[ir.Model], Any]


def change(model: ir.Model, node: ir.Node, place: int, value: float) -> None:
    """Change one number of a node's second input; random models let nodes share their zeros."""
    array = array_of(node.inputs[1]).copy()
    array[place] = value
    name = f"{node.inputs[1].name}_changed"
    node.replace_input_with(1, add_constant(model.graph, name, array))


def planted(graph: Any, open_graph: Open, *, unit: bool) -> tuple[ir.Model, ReferenceLogits]:
    """Make a hidden unit of the first layer, or a channel of its input, large."""
    model = graph.copy()
    if unit:
        activation = next(n for n in model.graph if n.op_type == "BiasGelu")
        change(model, activation, 5, 60.0)
    else:
        norm = [n for n in model.graph if n.op_type == "LayerNormalization"][1]
        change(model, norm, 3, 25.0)
    return model, record_logits(open_graph(model), graph.probe.batches)


def maxima(model: ir.Model, probe: ReferenceLogits) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for values in watch_inputs(model, probe.batches):
        for name, value in values.items():
            largest = np.abs(value).max(axis=0)
            found[name] = np.maximum(found.get(name, largest), largest)
    return found


def test_few_channels_clearly_above_all_others_are_outliers() -> None:
    largest = np.ones(40, np.float32)
    assert len(outliers_of(largest, 4)) == 0
    largest[[3, 17]] = 9, 2
    assert sorted(outliers_of(largest, 4)) == [3, 17]
    largest[20:30] = 8  # many are no outliers: no few nodes would take them away
    assert len(outliers_of(largest, 4)) == 0
    assert len(outliers_of(np.zeros(40, np.float32), 4)) == 0


@pytest.mark.parametrize("unit", [True, False])
def test_folding_changes_nothing_but_what_the_products_read(
    unit: bool, fused: Fuse, open_graph: Open
) -> None:
    model, probe = planted(fused("bert"), open_graph, unit=unit)
    before = {name: value.max() for name, value in maxima(model, probe).items()}
    products = [(node.name, node.inputs[0].name) for node in find_matmuls(model)]
    name, source = products[3 if unit else 2]
    passes = fold_outliers(model, maxima(model, probe), {name})
    onnx.checker.check_model(to_proto(model))
    assert difference(probe, open_graph(model)) < 1e-5
    done = "outlier-units-apart" if unit else "outlier-channels-divided"
    assert [(each.name, each.nodes) for each in passes] == [(done, 1)]
    after = {node.name: node.inputs[0].name for node in find_matmuls(model)}
    assert list(after) == [each for each, _ in products]
    large = {name: value.max() for name, value in maxima(model, probe).items()}
    assert large[after[name]] < 0.5 * before[source]
    assert len(float_branches(model)) == 2 * unit
    assert all(FLOAT_BRANCH in name for name in float_branches(model))


def test_only_products_that_are_worth_it_get_more_nodes(fused: Fuse, open_graph: Open) -> None:
    model, probe = planted(fused("bert"), open_graph, unit=True)
    nodes = len(model.graph)
    assert fold_outliers(model, maxima(model, probe), set()) == ()
    assert len(model.graph) == nodes


def test_the_rounding_that_hurts_is_found(fused: Fuse, open_graph: Open) -> None:
    model, probe = planted(fused("bert"), open_graph, unit=True)
    names = [node.name for node in find_matmuls(model)]
    effects = measure_sensitivities(model, probe.batches)
    assert list(effects) == names
    assert all(effect > 0 for effect in effects.values())
    calm = measure_sensitivities(fused("bert").copy(), probe.batches)
    assert max(effects, key=lambda name: effects[name] / calm[name]) == names[3]
    assert count_operators(model)["Where"] == 0


def test_few_nodes_are_chosen_until_half_of_the_damage_is_named() -> None:
    effects = {f"n{i}": 0.1 for i in range(37)} | {"a": 3.0, "b": 2.0, "c": 1.0}
    assert most_sensitive(effects) == ("a",)
    assert most_sensitive(effects | {"a": 2.0}) == ("a", "b")
    assert len(most_sensitive({f"n{i}": 1.0 for i in range(40)})) == 5
