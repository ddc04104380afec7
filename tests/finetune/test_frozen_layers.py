"""Frozen layers are run without dropout or not at all, and nothing above them sees a difference."""

from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import transformers

from bertedge.checkpoint.config import ARCHITECTURES
from bertedge.finetune import frozen_layers
from bertedge.finetune.frozen_layers import ROWS, FrozenLayers, number_rows

LAYERS = 4
SIZES = {"num_hidden_layers": LAYERS, "n_layers": LAYERS, "num_attention_heads": 2, "n_heads": 2}
SIZES |= {"vocab_size": 30, "hidden_size": 16, "dim": 16, "intermediate_size": 16}
SIZES |= {"hidden_dim": 16, "embedding_size": 8, "max_position_embeddings": 40}
SIZES |= {"initializer_range": 0.5, "mlp_dropout": 0.1, "embedding_dropout": 0.1}
SIZES |= {"pad_token_id": 0, "relative_attention": True, "norm_rel_ebd": "layer_norm"}
SIZES |= {"position_buckets": 4, "pos_att_type": ["c2p", "p2c"]}
KINDS = [kind for kind in ARCHITECTURES if kind != "albert"]
"""Those whose layers have weights of their own."""
TEXTS = [[2, 9, 3], [2, 10, 11, 12, 13, 3], [2, 14, 15, 3], [2, 3], [2, 16, 17, 18, 3]]
HALF = 2e-2
"""How far numbers may lie apart that have been float16."""


def tiny(kind: str, auto: Any = transformers.AutoModelForSequenceClassification) -> Any:
    torch.manual_seed(0)
    return auto.from_config(transformers.AutoConfig.for_model(kind, **SIZES))


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pad, as the tokenizers do; groups of rows become one more dimension."""
    ids = [part for row in rows for part in _group(row["input_ids"])]
    width = max(map(len, ids))
    padded = torch.tensor([each + [0] * (width - len(each)) for each in ids])
    batch = {"input_ids": padded, "attention_mask": (padded != 0).long()}
    batch[ROWS] = torch.tensor([number for row in rows for number in _listed(row[ROWS])])
    if isinstance(rows[0][ROWS], list):
        batch = {name: each.unflatten(0, (len(rows), -1)) for name, each in batch.items()}
    return batch


def _group(ids: Any) -> Any:
    return ids if isinstance(ids[0], list) else [ids]


def _listed(number: Any) -> list[int]:
    return number if isinstance(number, list) else [number]


def data_of(*texts: list[Any]) -> list[datasets.Dataset]:
    made = []
    for each in texts:
        lengths = [max(len(ids) for ids in _group(row)) for row in each]
        made.append(datasets.Dataset.from_dict({"input_ids": each, "length": lengths}))
    return number_rows(made)


def fill(frozen: FrozenLayers, data: list[datasets.Dataset]) -> int | None:
    return frozen.fill(data, collate, 2, torch.autocast("cpu", enabled=False))


def run(model: Any, frozen: FrozenLayers | None, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    plain = {name: each for name, each in batch.items() if name != ROWS}
    if frozen is not None:
        frozen.rows = batch[ROWS]
    return model(**plain).logits


@pytest.mark.parametrize("kind", KINDS)
def test_the_layers_above_get_what_the_frozen_ones_gave_and_those_are_not_run(
    kind: str, tmp_path: Path
) -> None:
    model, data = tiny(kind).eval(), data_of(TEXTS[:3], TEXTS[3:])
    frozen = FrozenLayers(model, tmp_path / "cache")
    batches = [collate([data[0][2], data[0][1]]), collate([data[1][1], data[1][0]])]
    expected = [run(model, None, batch) for batch in batches]
    ran: list[int] = []
    inner = {"distilbert": "lin1", "modernbert": "Wi"}.get(kind, "dense")
    for i, layer in enumerate(frozen.layers):
        part = next(each for name, each in layer.named_modules() if name.endswith(inner))
        part.register_forward_hook(lambda *_, i=i: ran.append(i))
    for count in (1, 3):  # the second is filled from what the first has kept
        frozen.freeze(count)
        assert fill(frozen, data) == 2 * 16 * sum(map(len, TEXTS))
        assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"layer-{count}.f16"]
        ran.clear()
        for batch, wanted in zip(batches, expected, strict=True):
            assert torch.allclose(run(model, frozen, batch), wanted, atol=HALF, rtol=HALF)
        assert set(ran) == set(range(count, LAYERS))
    frozen.thaw()
    assert list((tmp_path / "cache").iterdir()) == []
    for batch, wanted in zip(batches, expected, strict=True):
        assert torch.equal(run(model, None, batch), wanted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [True, False])
def test_frozen_layers_have_no_dropout_and_no_gradient_and_those_above_have_both(
    kind: str, kept: bool, tmp_path: Path
) -> None:
    model, data = tiny(kind), data_of(TEXTS)
    frozen = FrozenLayers(model, tmp_path / "cache")
    frozen.freeze(2)
    if kept:
        fill(frozen, data)
    below: list[torch.Tensor] = []
    frozen.layers[2].register_forward_pre_hook(lambda _, given: below.append(given[0]))
    batch = collate([data[0][0], data[0][1]])
    model.train()
    logits = [run(model, frozen, batch) for _ in range(2)]
    assert torch.equal(below[0], below[1])
    assert not torch.equal(logits[0], logits[1])
    logits[0].sum().backward()
    for part, trained in zip(frozen.layers, (False, False, True, True), strict=True):
        assert all((each.grad is not None) == trained for each in part.parameters())
    embeddings = model.get_input_embeddings().weight
    assert embeddings.grad is None
    frozen.thaw()
    model.train()
    run(model, frozen, batch).sum().backward()
    assert embeddings.grad is not None and embeddings.grad.abs().sum() > 0
    assert not torch.equal(run(model, None, batch), run(model, None, batch))


def test_what_was_not_trained_before_is_not_trained_after_a_thaw(tmp_path: Path) -> None:
    model = tiny("bert")
    model.base_model.embeddings.requires_grad_(False)
    frozen = FrozenLayers(model, tmp_path / "cache")
    frozen.freeze(1)
    frozen.thaw()
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if ".embeddings." not in name}


def test_the_weights_and_their_names_stay_those_of_the_model(tmp_path: Path) -> None:
    model, data = tiny("bert"), data_of(TEXTS)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    frozen = FrozenLayers(model, tmp_path / "cache")
    frozen.freeze(2)
    fill(frozen, data)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], each) for name, each in before.items())


def test_groups_of_rows_are_kept_one_by_one(tmp_path: Path) -> None:
    model = tiny("bert", transformers.AutoModelForMultipleChoice).eval()
    data = data_of([TEXTS[:2], TEXTS[2:4]], [[TEXTS[4], TEXTS[0]]])
    assert data[0][ROWS] == [[0, 1], [2, 3]] and data[1][ROWS] == [[4, 5]]
    frozen = FrozenLayers(model, tmp_path / "cache")
    batch = collate([data[0][1], data[1][0]])
    wanted = run(model, None, batch)
    frozen.freeze(2)
    fill(frozen, data)
    assert wanted.shape == (2, 2)
    assert torch.allclose(run(model, frozen, batch), wanted, atol=HALF, rtol=HALF)


def test_the_same_rows_have_the_very_same_numbers_when_the_cache_is_made_again(
    tmp_path: Path,
) -> None:
    data, kept = data_of(TEXTS), []
    for name in "ab":
        frozen = FrozenLayers(tiny("bert"), tmp_path / name)
        for count in (1, 2):
            frozen.freeze(count)
            fill(frozen, data)
        kept.append((tmp_path / name / "layer-2.f16").read_bytes())
    assert kept[0] == kept[1]


def test_what_is_too_much_for_the_disk_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = tiny("bert").eval(), data_of(TEXTS)
    frozen = FrozenLayers(model, tmp_path / "cache")
    monkeypatch.setattr(frozen_layers, "LARGEST", 2 * 16 * sum(map(len, TEXTS)) - 1)
    wanted = run(model, None, collate([data[0][0]]))
    frozen.freeze(1)
    assert fill(frozen, data) is None
    assert list((tmp_path / "cache").iterdir()) == []
    assert torch.equal(run(model, frozen, collate([data[0][0]])), wanted)
