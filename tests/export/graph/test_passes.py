from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from bertedge.export.graph.fusion import infer_shapes
from bertedge.export.graph.passes import fold_token_types, narrow_last_layer, run_passes
from bertedge.export.graph.values import add_constant, count_operators, to_proto
from bertedge.spec import Task

KINDS = ("bert", "roberta", "distilbert", "electra")
EXACT = 1e-6
"""Share of the logits' spread: the rounding of fp32."""

Fuse = Callable[..., Any]


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_layer_for_cls_alone_gives_the_same_logits(kind: str, fused: Fuse) -> None:
    graph = fused(kind)
    model = graph.copy()
    assert narrow_last_layer(model) == 10
    onnx.checker.check_model(to_proto(model))
    assert graph.off_by(model) < EXACT
    before, after = count_operators(graph.model), count_operators(model)
    assert after["Attention"] == before["Attention"] == 3
    assert after["Slice"] == before["Slice"] + 2  # the attention's output, the residual stream


@pytest.mark.parametrize(
    ("changes", "nodes"),
    [
        ({"num_hidden_layers": 1}, 10),
        ({"hidden_act": "relu"}, 11),  # its bias is added on its own
        ({"hidden_act": "quick_gelu"}, 11),
        ({"hidden_act": "gelu_new"}, 10),
    ],
)
def test_it_works_for_one_layer_and_other_activations(
    changes: dict[str, object], nodes: int, fused: Fuse
) -> None:
    graph = fused("bert", **changes)
    model = graph.copy()
    assert narrow_last_layer(model) == nodes
    assert graph.off_by(model) < EXACT


def test_the_last_feed_forward_runs_for_one_position(fused: Fuse) -> None:
    model = fused("bert").copy()
    narrow_last_layer(model)
    (last,) = [node for node in model.graph if node.op_type == "BiasGelu"][-1].outputs
    last.shape = None
    model.graph.outputs.append(last)
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(to_proto(model, shapes=False).SerializeToString())
    ids = np.ones((2, 7), np.int64)
    feed = {each.name: ids for each in session.get_inputs()}
    assert session.run([last.name], feed)[0].shape == (2, 1, 64)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_reads_every_position_is_left_alone(kind: str, fused: Fuse) -> None:
    graph = fused(kind, Task.TOKEN_CLASSIFICATION)
    model = graph.copy()
    assert narrow_last_layer(model) == 0
    assert to_proto(model) == to_proto(graph.model)
    assert run_passes(model, pair=True) == ()


@pytest.mark.parametrize(("kind", "nodes"), [("bert", 2), ("roberta", 9), ("electra", 2)])
def test_token_types_of_single_texts_are_folded_into_the_positions(
    kind: str, nodes: int, fused: Fuse
) -> None:
    graph = fused(kind)
    model = graph.copy()
    assert fold_token_types(model) == nodes
    onnx.checker.check_model(to_proto(model))
    assert "token_type_ids" not in {value.name for value in model.graph.inputs}
    assert graph.off_by(model) < 10 * EXACT  # a sum in another order


def test_a_graph_without_token_types_is_left_alone(fused: Fuse) -> None:
    model = fused("distilbert").copy()
    assert fold_token_types(model) == 0
    assert to_proto(model) == to_proto(fused("distilbert").model)


def test_pairs_keep_their_token_types(fused: Fuse) -> None:
    single, pair = fused("bert").copy(), fused("bert").copy()
    assert {each.name for each in run_passes(pair, pair=True)} == {"cls-only-last-layer"}
    assert "token_type_ids" in {value.name for value in pair.graph.inputs}
    names = {each.name for each in run_passes(single, pair=False)}
    assert names == {"cls-only-last-layer", "token-types-folded"}


def test_the_inferred_shapes_are_those_of_one_position(fused: Fuse, tmp_path: Path) -> None:
    model = fused("bert").copy()
    narrow_last_layer(model)
    inferred = infer_shapes(model, tmp_path)
    last = [node for node in inferred.graph if node.op_type == "BiasGelu"][-1].outputs[0]
    assert list(last.shape)[1:] == [1, 64]


def test_a_head_that_reads_another_position_is_left_alone(fused: Fuse) -> None:
    model = fused("bert").copy()
    head = cls_gather(model)
    head.replace_input_with(1, add_constant(model.graph, "second", np.array(1)))
    assert narrow_last_layer(model) == 0


def test_what_another_node_reads_is_not_narrowed(fused: Fuse) -> None:
    graph = fused("bert")
    model = graph.copy()
    model.graph.outputs.append(cls_gather(model).inputs[0])
    assert narrow_last_layer(model) == 0
    assert graph.off_by(model) == graph.off_by(graph.model)


def test_a_constant_as_long_as_the_text_stops_the_narrowing(fused: Fuse) -> None:
    model = fused("bert").copy()
    head = cls_gather(model)
    table = add_constant(model.graph, "by_position", np.zeros((64, 32), np.float32))
    shifted = ir.node("Add", [head.inputs[0], table])
    model.graph.insert_before(head, shifted)
    head.replace_input_with(0, shifted.outputs[0])
    assert narrow_last_layer(model) == 0


def cls_gather(model: ir.Model) -> ir.Node:
    """The Gather of position 0; the one before it looks words up."""
    return [node for node in model.graph if node.op_type == "Gather"][-1]
