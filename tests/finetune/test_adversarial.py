"""Adversarial training, against the papers' formulas written out on `inputs_embeds`."""

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from bertedge.checkpoint.config import ARCHITECTURES
from bertedge.errors import SettingError
from bertedge.finetune.adversarial import Attack
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.embedding_subset import embedding_subset
from bertedge.finetune.features import Features
from bertedge.finetune.losses import Batch, loss_terms
from bertedge.finetune.objectives import OBJECTIVES
from bertedge.finetune.run import finetune
from bertedge.spec import Task

SIZES = {"vocab_size": 30, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16}
SIZES |= {"n_layers": 2, "n_heads": 2, "dim": 16, "hidden_dim": 32, "intermediate_size": 32}
SIZES |= {"embedding_size": 8, "pad_token_id": 0}
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]])
IDS = torch.tensor([[2, 9, 10, 3], [2, 11, 3, 0], [2, 13, 14, 3], [2, 3, 0, 0]])
GOLD = torch.tensor([0, 2, 1, 2])
INPUTS = {"input_ids": IDS, "attention_mask": MASK}
EPSILON = 0.5


def config_of(method: str, **changes: Any) -> FinetuneConfig:
    plain: dict[str, Any] = {"task": Task.TEXT_CLASSIFICATION, "train": Path("t"), "model": "m"}
    plain |= {"output": Path("o"), "adversarial": method, "adversarial_epsilon": EPSILON}
    return FinetuneConfig(**{**plain, **changes})


def model_of(kind: str = "bert", dropout: float = 0.0, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout")
    names += ("attention_dropout", "seq_classif_dropout", "classifier_dropout_prob")
    shares = dict.fromkeys(names, dropout)
    config = transformers.AutoConfig.for_model(
        kind, **SIZES, **shares, num_labels=3, initializer_range=0.3
    )
    return transformers.AutoModelForSequenceClassification.from_config(config).train()


def loss_of(
    model: Any, config: FinetuneConfig, teachers: Any = (), rows: slice = slice(0, 4)
) -> torch.Tensor:
    """The sum of the terms, as the trainer has it, of some of the rows."""
    data = Features(
        data=datasets.Dataset.from_dict({"labels": GOLD.tolist()}), rows=4, truncated=0, windowed=0
    )
    objective = OBJECTIVES[config.task].make(config, data, ("a", "b", "c"))
    attack = Attack(config)
    terms = loss_terms(config, objective, teachers, attack=attack)
    given = {name: each[rows] for name, each in INPUTS.items()}
    batches = 4 // len(given["input_ids"])
    batch = Batch(inputs=given, labels=GOLD[rows], step_labels=4, step_batches=batches)
    with attack.on(model):
        outputs = model(**given, output_hidden_states=bool(teachers))
        return torch.stack([term(model, batch, outputs) for term in terms]).sum()


def by_hand(model: Any, method: str, steps: int) -> torch.Tensor:
    words = model.get_input_embeddings()(IDS)

    def loss(move: torch.Tensor) -> torch.Tensor:
        found = model(inputs_embeds=words + move, attention_mask=MASK)
        return torch.nn.functional.cross_entropy(found.logits, GOLD)

    def longest(move: torch.Tensor) -> torch.Tensor:
        norms = torch.stack([each.norm() for each in move])
        return move * (EPSILON / norms).clamp(max=1.0)[:, None, None]

    length = 2.5 * EPSILON / steps
    moves = [torch.zeros_like(words).requires_grad_()]
    while len(moves) <= steps:
        (gradient,) = torch.autograd.grad(loss(moves[-1]), moves[-1])
        gradient = gradient * MASK[..., None]
        unit = torch.stack([each / each.norm() for each in gradient])
        moves.append(longest(moves[-1].detach() + length * unit).requires_grad_())
    if method == "freelb":
        return torch.stack([loss(move) for move in moves[:steps]]).mean()
    return loss(moves[0]) + loss(moves[steps])


CASES = [("fgm", 1), ("pgd", 1), ("pgd", 3), ("freelb", 2), ("freelb", 4)]


@pytest.mark.parametrize(("method", "steps"), CASES)
def test_loss_and_gradients_are_the_papers(method: str, steps: int) -> None:
    ours, theirs = model_of(), model_of()
    found = loss_of(ours, config_of(method, adversarial_steps=steps))
    expected = by_hand(theirs, method, steps)
    assert torch.isclose(found, expected, atol=1e-6)
    plain = torch.nn.functional.cross_entropy(theirs(**INPUTS).logits, GOLD)
    assert found > (plain if method == "freelb" else 2 * plain) + 0.01
    found.backward()
    expected.backward()
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-5), name


@pytest.mark.parametrize("method", ["fgm", "pgd", "freelb"])
def test_accumulated_batches_have_the_loss_of_one_large_batch(method: str) -> None:
    model, config = model_of(), config_of(method)
    parts = [loss_of(model, config, rows=rows) for rows in (slice(0, 2), slice(2, 4))]
    assert torch.isclose(sum(parts), loss_of(model, config), atol=1e-6)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_with_few_or_frozen_embeddings_in_bf16(kind: str) -> None:
    data = datasets.Dataset.from_dict({"input_ids": IDS.tolist()})
    features = Features(data=data, rows=4, truncated=0, windowed=0)
    model = model_of(kind)
    whole = loss_of(model, config_of("pgd")).detach()
    with embedding_subset(model, [features]):
        assert torch.isclose(loss_of(model, config_of("pgd")), whole, atol=1e-5)
        model.get_input_embeddings().requires_grad_(False)
        assert torch.isclose(loss_of(model, config_of("pgd")), whole, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            low = loss_of(model, config_of("pgd"))
    assert torch.isclose(low, whole, rtol=0.1)


def test_the_places_of_freelb_have_one_dropout_and_others_draw_again() -> None:
    model = model_of(dropout=0.4)

    def loss(method: str) -> float:
        torch.manual_seed(3)
        near = config_of(method, adversarial_epsilon=1e-7)
        return float(loss_of(model, near).detach())

    torch.manual_seed(3)
    clean = float(torch.nn.functional.cross_entropy(model(**INPUTS).logits, GOLD).detach())
    assert loss("freelb") == pytest.approx(clean, abs=1e-5)
    assert abs(loss("fgm") - 2 * clean) > 1e-3


def test_a_group_of_choices_is_moved_as_one_and_padding_is_not() -> None:
    torch.manual_seed(0)
    config = transformers.BertConfig(**SIZES, initializer_range=0.3)
    model = transformers.BertForMultipleChoice(config).train()
    attack, moves = Attack(config_of("fgm")), []
    inputs = {name: each.unflatten(0, (2, 2)) for name, each in INPUTS.items()}
    gold = torch.tensor([0, 1])

    def loss() -> torch.Tensor:
        if attack._move is not None:
            moves.append(attack._move.detach())
        return torch.nn.functional.cross_entropy(model(**inputs).logits, gold)

    with attack.on(model):
        attack.loss(loss(), loss, inputs["attention_mask"])
    (move,) = moves
    assert (move[MASK == 0] == 0).all() and (move[MASK == 1] != 0).any(dim=-1).all()
    groups = [float(each.norm()) for each in move.unflatten(0, (2, 2))]
    assert np.allclose(groups, EPSILON, atol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_a_move_without_a_length_is_a_small_part_of_the_mean_words(scale: float) -> None:
    model = model_of()
    words = model.get_input_embeddings().weight
    with torch.no_grad():
        words.mul_(scale)
    attack, moves = Attack(config_of("fgm", adversarial_epsilon=None)), []

    def loss() -> torch.Tensor:
        if attack._move is not None:
            moves.append(attack._move.detach())
        return torch.nn.functional.cross_entropy(model(**INPUTS).logits, GOLD)

    with attack.on(model):
        attack.loss(loss(), loss, MASK)
    mean = np.linalg.norm(words.detach().numpy(), axis=1).mean()
    assert np.allclose([float(each.norm()) for each in moves[0]], mean / 25, rtol=1e-5)


def test_a_second_pass_of_r_drop_and_a_teacher_are_beside_it() -> None:
    model, teacher = model_of(dropout=0.3), model_of(seed=1)
    settings: dict[str, Any] = {"rdrop_alpha": 1.0, "adversarial_steps": 3}
    found = loss_of(model, config_of("pgd", **settings), [teacher])
    found.backward()
    assert found.isfinite() and model.classifier.weight.grad.isfinite().all()
    still = model_of()
    alone = float(loss_of(still, config_of("fgm", distillation_alpha=1.0), [teacher]).detach())
    near = config_of("fgm", distillation_alpha=1.0, adversarial_epsilon=1e-9)
    assert alone > float(loss_of(still, near, [teacher]).detach()) + 0.01  # than what is taught


QUESTION = {"question": "old", "answers": [{"text": "red", "answer_start": 4}]}
ROWS: dict[Task, dict[str, Any]] = {
    Task.TOKEN_CLASSIFICATION: {"tokens": ["the", "red", "plum"], "tags": ["O", "B-C", "O"]},
    Task.INTENT_SLOTS: {"tokens": ["the", "red"], "tags": ["O", "B-C"], "intent": "see"},
    Task.MULTIPLE_CHOICE: {"context": "the", "endings": ["red", "plum", "one"], "label": 1},
    Task.QUESTION_ANSWERING: {"context": "the red plum here and there", **QUESTION},
}


@pytest.mark.parametrize("task", ROWS)
def test_every_task_trains_with_it(task: Task, base: Path, tmp_path: Path) -> None:
    """Questions in windows, the last of them without the answer."""
    train, output = tmp_path / "train.jsonl", tmp_path / "run"
    rows = [ROWS[task], {**ROWS[task], "intent": "take", "label": 0}]
    train.write_text("".join(f"{json.dumps(row)}\n" for row in rows * 4))
    settings = {"train": train, "model": str(base), "output": output, "dev_share": 0.0}
    settings |= {"epochs": 1, "batch_size": 4, "gradient_accumulation_steps": 2}
    settings |= {"max_length": 8} if task is Task.QUESTION_ANSWERING else {}
    settings |= {"rdrop_alpha": 1.0}  # which runs the model between one batch and the next
    finetune(config_of("freelb", task=task, learning_rate=1e-3, **settings))
    for name, weight in load_file(output / "model.safetensors").items():
        assert weight.isfinite().all(), name


def test_nothing_is_left_on_the_model() -> None:
    model = model_of()
    with pytest.raises(KeyboardInterrupt), Attack(config_of("fgm")).on(model):
        raise KeyboardInterrupt
    assert not model.get_input_embeddings()._forward_hooks


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adversarial": "vat"}, "adversarial is 'vat'; choose one of none, fgm, pgd, freelb"),
        ({"adversarial_epsilon": 0.0}, "adversarial_epsilon is 0.0; it must be above 0"),
        ({"adversarial_steps": 0}, "adversarial_steps is 0; it must be at least 1"),
        ({"adversarial": "none"}, "adversarial_epsilon is for adversarial training; give --adver"),
        ({"adversarial_steps": 3}, "adversarial_steps is 3, but fgm has one step"),
        ({"adversarial": "freelb", "adversarial_steps": 1}, "adversarial_steps is 1: plain tra"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        config_of(**{"method": "fgm", **settings})
