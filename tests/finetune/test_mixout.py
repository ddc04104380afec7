"""Mixout and new layers: where weights start, and where they go back to."""

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from bertedge.checkpoint.config import ARCHITECTURES
from bertedge.errors import SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.initialization import reinitialize
from bertedge.finetune.layers import depth_of
from bertedge.finetune.mixout import MixLinear, mixout
from bertedge.finetune.run import finetune

SIZES = {"vocab_size": 30, "num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 16}
SIZES |= {"n_layers": 3, "n_heads": 2, "dim": 16, "hidden_dim": 32, "intermediate_size": 32}
KINDS = pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra"])


def model_of(kind: str) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **SIZES)
    return transformers.AutoModelForSequenceClassification.from_config(config)


def test_weights_are_mixed_by_the_papers_formula_and_their_mean_is_the_weight() -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(40, 30)
    start = linear.weight.detach().clone()
    mixed = MixLinear(linear, 0.3)
    with torch.no_grad():
        linear.weight += torch.randn(30, 40)
    apart = linear.weight.detach() - start
    ones = torch.eye(40)
    seen = torch.stack([(mixed(ones) - mixed.bias).T.detach() for _ in range(400)])
    expected = (torch.tensor([0.0, 1.0])[:, None, None] * apart + 0.7 * start) / 0.7
    back, own = (torch.isclose(seen, each, atol=1e-4) for each in expected)
    assert (back | own).all()
    assert back.float().mean() == pytest.approx(0.3, abs=0.01)
    assert (seen.mean(0) - linear.weight).abs().max() < 0.5 * apart.abs().max()
    assert torch.equal(mixed.eval()(ones), linear(ones))


def test_only_weights_that_were_not_taken_back_have_a_gradient() -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(40, 30)
    MixLinear(linear, 0.5)(torch.ones(1, 40)).sum().backward()
    values = linear.weight.grad.unique().tolist()  # type: ignore[union-attr]
    assert values == [0.0, 2.0]


@KINDS
def test_the_encoder_is_mixed_in_training_alone_and_has_its_layers_back(kind: str) -> None:
    model = model_of(kind).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    names, before = list(model.state_dict()), model(ids).logits
    originals = dict(model.named_modules())
    with pytest.raises(KeyboardInterrupt), mixout(model, 0.5):
        assert list(model.state_dict()) == names  # saved states are those of the model itself
        mixed = [name for name, each in model.named_modules() if isinstance(each, MixLinear)]
        assert sum("layer." in name for name in mixed) == 3 * 6
        assert not any(name.startswith("classifier") for name in mixed)
        assert torch.equal(model(ids).logits, before)
        for each in model.base_model.parameters():
            each.data += 0.1
        raise KeyboardInterrupt
    assert dict(model.named_modules()) == originals
    assert not torch.equal(model(ids).logits, before)


@KINDS
def test_top_layers_and_the_pooler_start_anew(kind: str) -> None:
    model = model_of(kind)
    with torch.no_grad():
        for each in model.parameters():
            each.fill_(7.0)
    reinitialize(model, 2)
    new = {name for name, each in model.named_parameters() if (each != 7.0).any()}
    top = {name for name in new if "layer.1." in name or "layer.2." in name}
    assert new - top == {name for name, _ in model.named_parameters() if ".pooler." in name}
    for name, each in model.named_parameters():
        if name in top and each.dim() == 2:
            assert 0.015 < each.std() < 0.025, name
        elif name in top:
            assert set(each.unique().tolist()) <= {0.0, 1.0}, name
    assert len(top) == 2 * 16


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_top_layer_of_a_loaded_model_of_every_architecture_starts_anew(
    kind: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    more = {"pad_token_id": 0, "embedding_size": 8, "relative_attention": True}
    config = transformers.AutoConfig.for_model(kind, **SIZES | more)
    auto = transformers.AutoModelForSequenceClassification
    auto.from_config(config).save_pretrained(tmp_path)
    model = auto.from_pretrained(tmp_path)
    with torch.no_grad():
        for each in model.parameters():
            each.fill_(7.0)
    reinitialize(model, 1)
    layers = 1 if kind == "albert" else 3
    for name, each in model.named_parameters():
        top = depth_of(name, layers) == layers or ".pooler." in name
        assert bool((each != 7.0).all()) == top, name


def test_a_run_changes_what_it_should(base: Path, texts: dict[str, Path], tmp_path: Path) -> None:
    def run(name: str, **changes: object) -> dict[str, torch.Tensor]:
        plain = {"task": "text-classification", "model": str(base), "train": texts["train"]}
        plain |= {"output": tmp_path / name, "learning_rate": 1e-9, "epochs": 0.1, "dev_share": 0}
        plain |= {"pooling": "cls"}
        finetune(FinetuneConfig(**plain, **changes))  # type: ignore[arg-type]
        return load_file(tmp_path / name / "model.safetensors")

    plain, new = run("plain"), run("new", reinit_layers=1)
    changed = {name for name in plain if not torch.allclose(plain[name], new[name], atol=1e-6)}
    assert changed and all("encoder.layer.1." in n or ".pooler." in n for n in changed)
    mixed = run("mixed", mixout=0.5)
    assert mixed.keys() == plain.keys()
    assert all(torch.allclose(plain[name], mixed[name], atol=1e-6) for name in plain)
    for changes, message in (
        ({"reinit_layers": 3}, "reinit_layers is 3, but the model has 2 layers"),
        ({"reinit_layers": 2, "freeze": 1}, "reinit_layers is 2 of 2, but freeze is 1: layers"),
        ({"reinit_layers": 2, "train_layers": 1}, "but train_layers is 1: layers would stay rand"),
        ({"mixout": 1.0}, r"mixout is 1\.0; it must be at least 0 and at most 0\.95"),
        ({"mixout": 0.5, "bitfit": True}, "--bitfit and --mixout cannot be combined"),
    ):
        with pytest.raises(SettingError, match=message):
            run("no", **changes)
