from collections.abc import Callable
from typing import Any

import pytest

from bertedge.errors import VerificationError
from bertedge.export.fuse import check_attention
from bertedge.export.nodes import count_operators
from bertedge.tasks import Task

KINDS = ("bert", "roberta", "distilbert", "electra")

Fuse = Callable[..., Any]


@pytest.mark.parametrize("task", Task)
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


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "electra"])
def test_eager_attention_is_fused_too(kind: str, fused: Fuse) -> None:
    assert fused(kind).attention == "sdpa"  # what the test above covers; ELECTRA has eager alone
    graph = fused(kind, attention="eager")
    assert count_operators(graph.model)["Attention"] == 3
    assert graph.off_by(graph.model) < 1e-6


def test_every_value_has_a_type_for_the_quantizer(fused: Fuse) -> None:
    graph = fused("bert").model.graph
    typed = {value.name for value in (*graph.value_info, *graph.output)}
    assert {name for node in graph.node for name in node.output} <= typed


def test_an_attention_of_another_form_is_refused_with_the_counts(fused: Fuse) -> None:
    with pytest.raises(VerificationError, match=r"0 Attention nodes of the 3 layers.*transformers"):
        fused("bert", position_embedding_type="relative_key")


def test_one_layer_less_is_refused(fused: Fuse) -> None:
    architecture = fused("bert").architecture
    check_attention(3, architecture)
    with pytest.raises(VerificationError, match="2 Attention nodes of the 3 layers"):
        check_attention(2, architecture)
