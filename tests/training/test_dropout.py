"""Dropout is set wherever an architecture has it."""

import pytest
import torch
import transformers

from bertedge.checkpoint.config import ARCHITECTURES
from bertedge.training.dropout import set_dropout

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


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_without_dropout_training_says_what_evaluation_says(
    kind: str, head: str, attention: str
) -> None:
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **SIZES)
    if kind not in EAGER or attention == "eager":
        config._attn_implementation = attention
    model = HEADS[head].from_config(config)
    ids = {"input_ids": torch.randint(5, 30, (4, 8)), "attention_mask": torch.ones(4, 8).long()}

    def differs() -> bool:
        first, second = (model.train()(**ids)[0] for _ in range(2))
        return not torch.equal(first, second)

    assert differs()
    set_dropout(model, 0.0)
    assert not differs()
    assert torch.allclose(model.train()(**ids)[0], model.eval()(**ids)[0], atol=1e-6)
    set_dropout(model, 0.5)
    assert differs()
