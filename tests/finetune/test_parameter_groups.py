"""Each parameter moves at the rate of its layer, and only matrices decay."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from bertedge.checkpoint.config import ARCHITECTURES
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.layers import count_layers, depth_of
from bertedge.finetune.parameter_groups import parameter_groups
from bertedge.finetune.run import finetune
from bertedge.progress import Silent
from bertedge.spec import Task

LAYERS = 3
SIZES = {"num_hidden_layers": LAYERS, "n_layers": LAYERS, "num_attention_heads": 2, "n_heads": 2}
SIZES |= {"vocab_size": 30, "hidden_size": 8, "dim": 8, "intermediate_size": 8}
SIZES |= {"hidden_dim": 8, "embedding_size": 4, "max_position_embeddings": 40}
SIZES |= {"pad_token_id": 0, "relative_attention": True, "norm_rel_ebd": "layer_norm"}
SIZES |= {"position_buckets": 4, "pos_att_type": ["c2p", "p2c"]}
LAYER = {
    "distilbert": "transformer.layer",
    "albert": "encoder.albert_layer_groups",
    "modernbert": "layers",
}
"""Where layers are, if not at `encoder.layer`."""
STEM = {
    "electra": ["embeddings_project"],
    "albert": ["encoder.embedding_hidden_mapping_in"],
    "deberta-v2": ["encoder.rel_embeddings", "encoder.LayerNorm"],
    "mpnet": ["encoder.relative_attention_bias"],
}
"""What belongs to the embeddings beside `embeddings`."""


def layers_in(kind: str) -> int:
    return 1 if kind == "albert" else LAYERS  # all of ALBERT's share their weights


def tiny(kind: str) -> transformers.PreTrainedModel:
    config = transformers.AutoConfig.for_model(kind, **SIZES)
    return transformers.AutoModelForSequenceClassification.from_config(config)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_parameter_has_its_depth(kind: str) -> None:
    model = tiny(kind)
    base, layers = model.base_model, layers_in(kind)
    parts = [base.embeddings, *base.get_submodule(LAYER.get(kind, "encoder.layer"))]
    assert len(parts) == 1 + layers == 1 + count_layers(model.config)
    wanted = {id(p): depth for depth, part in enumerate(parts) for p in part.parameters()}
    for name in STEM.get(kind, ()):
        wanted |= {id(parameter): 0 for parameter in base.get_submodule(name).parameters()}
    for name, parameter in model.named_parameters():
        assert depth_of(name, layers) == wanted.get(id(parameter), layers + 1), name


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_groups_hold_every_trainable_parameter_once_at_the_rate_of_its_depth(kind: str) -> None:
    model = tiny(kind)
    model.base_model.embeddings.requires_grad_(False)
    matrices = {name for name, each in model.named_parameters() if each.dim() == 2}
    groups = parameter_groups(
        model, decayed=matrices, weight_decay=0.1, learning_rate=1.0, layer_decay=0.5
    )
    found = {id(each): group for group in groups for each in group["params"]}
    layers = layers_in(kind)
    assert sum(len(group["params"]) for group in groups) == len(found)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert id(parameter) not in found
            continue
        group = found[id(parameter)]
        assert group["lr"] == 0.5 ** (layers + 1 - depth_of(name, layers)), name
        assert group["weight_decay"] == (0.1 if parameter.dim() == 2 else 0.0), name


def test_without_decay_by_layer_the_groups_are_those_of_trainer() -> None:
    model = tiny("bert")
    trainer = transformers.Trainer(model, transformers.TrainingArguments("unused", use_cpu=True))
    wanted = trainer.create_optimizer().param_groups
    args = trainer.args
    groups = parameter_groups(
        model,
        decayed=trainer.get_decay_parameter_names(model),
        weight_decay=0.1,
        learning_rate=args.learning_rate,
        layer_decay=1.0,
    )
    assert [[*map(id, each["params"])] for each in groups] == [
        [*map(id, each["params"])] for each in wanted
    ]
    assert [each["weight_decay"] for each in groups] == [0.1, 0.0]


def test_a_step_moves_each_layer_by_its_own_learning_rate(base: Path, tmp_path: Path) -> None:
    """Adam's first step is its rate, whatever the gradient's size (Kingma and Ba 2015, 2.1)."""
    train = tmp_path / "train.csv"
    train.write_text("text,label\nsee the red,a\nsee one plum,b\ntake old apple,b\n")
    rate, decay, layers = 1e-3, 0.25, 2
    config = FinetuneConfig(
        task=Task.TEXT_CLASSIFICATION, train=train, model=str(base), output=tmp_path / "run",
        epochs=1, learning_rate=rate, layer_decay=decay, warmup_ratio=0, weight_decay=0,
        precision="fp32",
    )  # fmt: skip
    done = finetune(config, Silent())
    assert done is not None and done.training.settings["layer_decay"] == decay
    before = load_file(base / "model.safetensors")
    after = load_file(config.output / "model.safetensors")
    seen = set()
    for name, tensor in before.items():
        moved = float(np.abs(after[f"bert.{name}"] - tensor).max())
        if name.endswith("key.bias"):  # softmax does not see it, so its gradient is noise
            continue
        depth = depth_of(name, layers)
        assert moved == pytest.approx(rate * decay ** (layers + 1 - depth), rel=0.02), name
        seen.add(depth)
    assert seen == {0, 1, 2, 3}


def test_a_layer_decay_beyond_its_bounds_is_refused() -> None:
    from bertedge.errors import SettingError

    for wrong in (0.0, 1.5):
        with pytest.raises(SettingError, match=re.escape(f"layer_decay is {wrong}; it must be")):
            FinetuneConfig(
                task="text-classification", train="t", model="m", output="o", layer_decay=wrong
            )


def test_frozen_parameters_alone_leave_no_empty_group() -> None:
    model = tiny("bert")
    model.base_model.requires_grad_(False)
    groups = parameter_groups(
        model, decayed=(), weight_decay=0.1, learning_rate=1.0, layer_decay=0.5
    )
    assert len(groups) == 1
    torch.optim.AdamW(groups)
