"""Mixup is that of what the classifier reads, against its formula."""

from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import transformers
from torch.nn import functional

from bertedge.errors import SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.features import Features
from bertedge.finetune.losses import Batch, loss_terms
from bertedge.finetune.objectives import OBJECTIVES
from bertedge.spec import ProblemType, Task

INPUTS = {
    "input_ids": torch.tensor([[2, 9, 10, 3], [2, 11, 12, 3], [2, 13, 14, 3], [2, 15, 9, 3]]),
    "attention_mask": torch.ones(4, 4, dtype=torch.long),
}
GOLD: dict[ProblemType, list[Any]] = {
    ProblemType.SINGLE_LABEL: [0, 2, 1, 2],
    ProblemType.MULTI_LABEL: [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]],
    ProblemType.REGRESSION: [0.5, -1.0, 2.0, 0.0],
}


def config_of(kind: ProblemType, **changes: Any) -> FinetuneConfig:
    plain: dict[str, Any] = {"task": Task.TEXT_CLASSIFICATION, "train": Path("t"), "model": "m"}
    plain |= {"output": Path("o"), "problem_type": kind, "mixup_alpha": 0.4}
    return FinetuneConfig(**{**plain, **changes})


def model_of(kind: ProblemType) -> transformers.BertForSequenceClassification:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=1 if kind is ProblemType.REGRESSION else 3,
        initializer_range=0.5,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return transformers.BertForSequenceClassification(config).train()


def loss_of(model: Any, config: FinetuneConfig, seed: int) -> torch.Tensor:
    gold = GOLD[config.problem_type]
    data = datasets.Dataset.from_dict({"labels": gold})
    features = Features(data=data, rows=4, truncated=0, windowed=0)
    labels = ("a", "b", "c")[: model.config.num_labels]
    objective = OBJECTIVES[config.task].make(config, features, labels)
    terms = loss_terms(config, objective, [])
    tensor = torch.tensor(gold)
    batch = Batch(inputs=INPUTS, labels=tensor, step_labels=tensor.numel(), step_batches=1)
    outputs = model(**INPUTS)
    torch.manual_seed(seed)
    return torch.stack([term(model, batch, outputs) for term in terms]).sum()


def by_hand(model: Any, kind: ProblemType, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    share = float(torch.distributions.Beta(0.4, 0.4).sample())
    others = torch.randperm(4)
    assert 0.0 < share < 1.0
    pooled = model.bert(**INPUTS).pooler_output
    logits = model.classifier(share * pooled + (1 - share) * pooled[others])
    gold = torch.tensor(GOLD[kind])
    if kind is ProblemType.SINGLE_LABEL:
        gold = functional.one_hot(gold, 3).float()
    gold = share * gold + (1 - share) * gold[others]
    match kind:
        case ProblemType.SINGLE_LABEL:
            return functional.cross_entropy(logits, gold)
        case ProblemType.MULTI_LABEL:
            return functional.binary_cross_entropy_with_logits(logits, gold)
        case ProblemType.REGRESSION:
            return functional.mse_loss(logits[:, 0], gold)


@pytest.mark.parametrize("kind", ProblemType)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_vectors_and_labels_are_mixed_as_the_papers_do(kind: ProblemType, seed: int) -> None:
    ours, theirs = model_of(kind), model_of(kind)
    found, expected = loss_of(ours, config_of(kind), seed), by_hand(theirs, kind, seed)
    if kind is not ProblemType.REGRESSION:
        assert torch.isclose(found, expected)
    found.backward()
    expected.backward()
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-5), name
    plain = loss_of(ours, config_of(kind, mixup_alpha=0.0), seed)
    assert (plain - found).abs() > 1e-3


def test_every_pass_over_a_batch_mixes_alike() -> None:
    kind = ProblemType.SINGLE_LABEL
    model = model_of(kind)  # without dropout a second pass is the same, if it is mixed the same
    once = loss_of(model, config_of(kind), 5)
    twice = loss_of(model, config_of(kind, rdrop_alpha=1.0), 5)
    assert torch.isclose(once, twice)


@pytest.mark.parametrize("task", ["token-classification", "question-answering", "multiple-choice"])
def test_what_has_no_one_vector_is_refused(task: str) -> None:
    with pytest.raises(SettingError, match=f"mixup_alpha is 0.4, but {task} has no one vector"):
        config_of(ProblemType.SINGLE_LABEL, task=task)
    with pytest.raises(SettingError, match=r"mixup_alpha is 101\.0; it must be at least 0"):
        config_of(ProblemType.SINGLE_LABEL, mixup_alpha=101.0)
