"""Dropout is set wherever an architecture has it, and left out of attention alone."""

from typing import Any

import pytest
import torch
import transformers

from bertedge.checkpoint.config import ARCHITECTURES
from bertedge.training.dropout import keep_attention_whole, set_dropout

SIZES = {"vocab_size": 30, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16}
SIZES |= {"n_layers": 2, "n_heads": 2, "dim": 16, "hidden_dim": 16, "intermediate_size": 16}
SIZES |= {"pad_token_id": 0, "relative_attention": True, "norm_rel_ebd": "layer_norm"}
SIZES |= {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
SIZES |= {"attention_dropout": 0.1, "embedding_dropout": 0.1, "mlp_dropout": 0.1}
HEADS = {
    "texts": transformers.AutoModelForSequenceClassification,
    "words": transformers.AutoModelForTokenClassification,
    "spans": transformers.AutoModelForQuestionAnswering,
}
EAGER = ("electra", "mpnet", "deberta-v2")
"""Which have no other attention."""
IDS = {
    "input_ids": torch.arange(5, 29).reshape(3, 8),
    "attention_mask": torch.ones(3, 8, dtype=torch.int64),
}


CASES = [
    (kind, head, attention)
    for kind in ARCHITECTURES
    for head in HEADS
    for attention in ("eager", "sdpa")
    if attention == "eager" or kind not in EAGER
]


def make(kind: str, head: str, attention: str, **settings: float) -> Any:
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **SIZES | settings)
    config._attn_implementation = attention
    return HEADS[head].from_config(config)


def varies(model: Any) -> bool:
    """Run the model twice as in training."""
    torch.manual_seed(0)
    first, second = (model.train()(**IDS)[0] for _ in range(2))
    return not torch.equal(first, second)


@pytest.mark.parametrize(("kind", "head", "attention"), CASES)
def test_without_dropout_training_says_what_evaluation_says(
    kind: str, head: str, attention: str
) -> None:
    model = make(kind, head, attention)
    assert varies(model)
    set_dropout(model, 0.0)
    assert not varies(model)
    assert torch.allclose(model.train()(**IDS)[0], model.eval()(**IDS)[0], atol=1e-6)
    set_dropout(model, 0.5)
    assert varies(model)


@pytest.mark.parametrize(("kind", "head", "attention"), CASES)
def test_attention_is_kept_whole_and_all_other_dropout_stays(
    kind: str, head: str, attention: str
) -> None:
    model = make(kind, head, attention)
    others = {name: 0.0 for name in SIZES if name.endswith(("dropout_prob", "_dropout"))}
    others |= {"dropout": 0.0, "classifier_dropout": 0.0, "seq_classif_dropout": 0.0}
    others |= {"qa_dropout": 0.0, "classifier_dropout_prob": 0.0, "pooler_dropout": 0.0}
    alone = {"attention_probs_dropout_prob": 0.1, "attention_dropout": 0.1}
    only_attention = make(kind, head, attention, **others | alone)
    before = dict(model.config.to_dict())
    assert varies(only_attention)
    for each in (model, only_attention):
        keep_attention_whole(each)
    assert not varies(only_attention)
    assert varies(model)
    assert model.config.to_dict() == before
