from collections.abc import Callable
from typing import Any

import pytest

from bertedge.errors import VerificationError
from bertedge.export.graph.fusion import check_attention
from bertedge.export.graph.values import count_operators, remove_unread
from bertedge.spec import Task

KINDS = ("bert", "roberta", "distilbert", "electra")
HEADS = (Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.QUESTION_ANSWERING)
"""All others have one of these, or tests of their own."""

Fuse = Callable[..., Any]


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_is_fused_and_gives_the_checkpoints_logits(
    kind: str, task: Task, fused: Fuse
) -> None:
    graph = fused(kind, task)
    counts = count_operators(graph.model)
    assert counts["Attention"] == 3
    assert counts["BiasGelu"] == 3
    assert counts["LayerNormalization"] == 7
    assert counts["SkipLayerNormalization"] == counts["EmbedLayerNormalization"] == 0
    assert counts["Softmax"] == counts["Erf"] == 0
    assert graph.off_by(graph.model) < 1e-6


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_eager_attention_is_fused_to_the_same_graph(kind: str, task: Task, fused: Fuse) -> None:
    # What the test above covers is SDPA; ELECTRA has eager alone.
    assert fused(kind, task).attention == "sdpa"
    graph = fused(kind, task, attention="eager")
    assert graph.attention == "eager"
    counts, sdpa = (count_operators(each.model) for each in (graph, fused(kind, task)))
    for operator in ("Attention", "BiasGelu", "LayerNormalization", "MatMul", "Softmax"):
        assert counts[operator] == sdpa[operator], operator
    assert graph.off_by(graph.model) < 1e-6


def test_attention_that_onnxruntime_does_not_know_fails_loudly(fused: Fuse) -> None:
    # No checkpoint brings this form with it: DistilBERT loads with SDPA.
    with pytest.raises(VerificationError, match="0 Attention nodes of the 3 layers"):
        fused("distilbert", attention="eager")


@pytest.mark.parametrize("kind", KINDS)
def test_query_key_and_value_are_one_product(kind: str, fused: Fuse) -> None:
    merged = [node.inputs[1] for node in fused(kind).model.graph if node.op_type == "Attention"]
    assert [list(value.shape) for value in merged] == [[32, 3 * 32]] * 3


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_computed_that_the_head_does_not_read(
    kind: str, task: Task, fused: Fuse
) -> None:
    model = fused(kind, task).copy()
    assert [each.name for each in model.graph.outputs] == ["logits"]
    assert remove_unread(model) == 0
    # A pooler is a Tanh here: BERT's and RoBERTa's text heads read it, no token head does.
    pooled = kind in ("bert", "roberta") and task is Task.TEXT_CLASSIFICATION
    assert count_operators(model)["Tanh"] == int(pooled)


def test_every_value_has_a_type_for_the_quantizer(fused: Fuse) -> None:
    graph = fused("bert").model.graph
    assert all(value.dtype is not None for node in graph for value in node.outputs)


def test_an_attention_of_another_form_is_refused_with_the_counts(fused: Fuse) -> None:
    with pytest.raises(VerificationError, match=r"0 Attention nodes of the 3 layers.*transformers"):
        fused("bert", position_embedding_type="relative_key")


def test_one_layer_less_is_refused(fused: Fuse) -> None:
    architecture = fused("bert").architecture
    check_attention(3, architecture)
    with pytest.raises(VerificationError, match="2 Attention nodes of the 3 layers"):
        check_attention(2, architecture)
