"""Classifiers on the mean of hidden states: the formula, and the way to disk and back."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from bertedge.checkpoint import model_class
from bertedge.checkpoint.config import read_config
from bertedge.spec import PoolingMode, Task

SIZES = {"vocab_size": 50, "num_labels": 3}
WIDE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 20,
}
CONFIGS: dict[str, Any] = {
    "bert": lambda: transformers.BertConfig(**SIZES, **WIDE),
    "roberta": lambda: transformers.RobertaConfig(**SIZES, **WIDE, pad_token_id=0),
    "distilbert": lambda: transformers.DistilBertConfig(
        **SIZES, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=20
    ),
    "electra": lambda: transformers.ElectraConfig(**SIZES, **WIDE, embedding_size=8),
    "xlm-roberta": lambda: transformers.XLMRobertaConfig(**SIZES, **WIDE, pad_token_id=0),
    "camembert": lambda: transformers.CamembertConfig(**SIZES, **WIDE, pad_token_id=0),
    "mpnet": lambda: transformers.MPNetConfig(**SIZES, **WIDE),
    "albert": lambda: transformers.AlbertConfig(**SIZES, **WIDE, embedding_size=8),
    "deberta-v2": lambda: transformers.DebertaV2Config(
        **SIZES, **WIDE, relative_attention=True, position_buckets=4, norm_rel_ebd="layer_norm"
    ),
    "modernbert": lambda: transformers.ModernBertConfig(
        **SIZES, **WIDE, pad_token_id=0, reference_compile=False
    ),
}


def make(kind: str) -> Any:
    torch.manual_seed(3)
    config = CONFIGS[kind]()
    return (
        model_class(Task.TEXT_CLASSIFICATION, config, PoolingMode.MEAN).from_config(config).eval()
    )


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_logits_are_those_of_the_mean_over_tokens_that_are_no_padding(
    kind: str, batch: dict[str, torch.Tensor]
) -> None:
    model = make(kind)
    with torch.no_grad():
        found = model(**batch)
        hidden = model.base_model(**batch).last_hidden_state
    means = torch.stack([hidden[0].mean(0), hidden[1, :2].mean(0)])
    head = model.mean_classifier
    assert torch.allclose(found.logits, means @ head.weight.T + head.bias, atol=1e-6)


@pytest.mark.parametrize("kind", CONFIGS)
def test_it_comes_back_from_disk_and_auto_model_opens_its_encoder(
    kind: str, batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    model = make(kind)
    model.save_pretrained(tmp_path)
    config = read_config(tmp_path)
    again = model_class(Task.TEXT_CLASSIFICATION, config).from_pretrained(tmp_path).eval()
    encoder = transformers.AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, again(**batch).logits)
        own = model.base_model(**batch).last_hidden_state
        assert torch.equal(own, encoder(**batch).last_hidden_state)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["model_type"] == kind


def test_without_it_a_classifier_is_that_of_transformers() -> None:
    config = CONFIGS["bert"]()
    own = model_class(Task.TEXT_CLASSIFICATION, config)
    assert own is transformers.AutoModelForSequenceClassification
    assert model_class(Task.TOKEN_CLASSIFICATION, config, PoolingMode.MEAN) is (
        transformers.AutoModelForTokenClassification
    )


def test_transformers_opens_it_by_the_code_beside_it(
    batch: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make("roberta")
    model.save_pretrained(tmp_path / "checkpoint")
    with torch.no_grad():
        torch.save({**batch, "logits": model(**batch).logits}, tmp_path / "expected")
    program = (
        "import sys, torch, transformers\n"
        "kind = transformers.AutoModelForSequenceClassification\n"
        "model = kind.from_pretrained('checkpoint', trust_remote_code=True).eval()\n"
        "batch = torch.load('expected')\n"
        "wanted = batch.pop('logits')\n"
        "assert torch.equal(model(**batch).logits, wanted)\n"
        "assert 'bertedge' not in sys.modules\n"
    )
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
