"""Any two techniques train together, or are refused in one line that names both.

A new setting joins EXAMPLES, with a value that turns it on, or PLAIN.
"""

import itertools
import zlib
from collections.abc import Iterable
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bertedge.errors import BertedgeError, SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import finetune
from bertedge.progress import Silent

TEACHER = "teacher"
"""Stands for the folder of a checkpoint."""
EXAMPLES: dict[str, dict[str, object]] = {
    "dev_share": {"dev_share": 0.25, "dev": None},
    "out_of_scope": {"out_of_scope": "odd"},
    "calibrate": {"calibrate": True},
    "layer_decay": {"layer_decay": 0.5},
    "peft": {"peft": "lora"},
    "peft prompt": {"peft": "prompt", "num_virtual_tokens": 4},
    "freeze": {"freeze": 1},
    "freeze auto": {"freeze": "auto"},
    "train_layers": {"train_layers": 1},
    "bitfit": {"bitfit": True},
    "gradual_unfreezing": {"gradual_unfreezing": 0.5},
    "class_weights": {"class_weights": "balanced"},
    "dropout": {"dropout": 0.3},
    "label_smoothing": {"label_smoothing": 0.1},
    "focal_gamma": {"focal_gamma": 2.0},
    "rdrop_alpha": {"rdrop_alpha": 1.0},
    "augment": {"augment": ("deletion", "label-words")},
    "adversarial": {"adversarial": "freelb"},
    "mixup_alpha": {"mixup_alpha": 0.4},
    "mixout": {"mixout": 0.5},
    "reinit_layers": {"reinit_layers": 1},
    "ema_decay": {"ema_decay": 0.9},
    "swa_start": {"swa_start": 0.5},
    "pooling": {"pooling": "mean"},
    "few_shot": {"few_shot": "contrastive"},
    "folds": {"folds": 2, "dev": None},
    "adapt": {"adapt": True, "adapt_epochs": 0.5},
    "unlabelled": {"unlabelled": "more.txt", "unlabelled_threshold": 0.5},
    "replay": {"replay": "train.csv", "model": TEACHER},
    "teacher": {"teacher": (TEACHER,)},
    "layers": {"layers": 1, "teacher": (TEACHER,), "model": None},
    "optimizer": {"optimizer": "sgd", "learning_rate": 0.02},
    "lr_scheduler": {"lr_scheduler": "one-cycle"},
    "gradient_checkpointing": {"gradient_checkpointing": True},
    "gradient_accumulation_steps": {"gradient_accumulation_steps": 2},
    "precision": {"precision": "bf16"},
}
"""What turns each technique on, with what it needs beside it.

A field's second technique has a word after the field's name.
"""
FILES = {"task", "problem_type", "train", "dev", "output", "log_dir", "model", "label_map"}
READING = {"text_column", "pair_column", "label_column", "intent_column", "label_separator"}
READING |= {"cache", "separator", "header", "format", "encoding", "sheet", "bad_rows", "max_length"}
NUMBERS = {"epochs", "batch_size", "learning_rate", "warmup_ratio", "weight_decay", "seed"}
NUMBERS |= {"early_stopping_patience", "max_grad_norm", "augment_share"}
NUMBERS |= {"adversarial_epsilon", "adversarial_steps"}
NUMBERS |= {"distillation_alpha", "distillation_temperature", "distillation_hidden_weight"}
NUMBERS |= {"lora_rank", "lora_alpha", "lora_dropout", "lora_target_modules"}
NUMBERS |= {"adapter_size", "num_virtual_tokens"}
SEARCH = {"auto", "minutes"}
NUMBERS |= {"replay_share", "adapt_epochs", "unlabelled_threshold", "unlabelled_share"}
PLAIN = FILES | READING | NUMBERS | SEARCH
"""Settings that are no technique: what is read and written, numbers that every run has, and the
search, which chooses among techniques."""
NAMES = sorted(EXAMPLES)
TURN = zlib.crc32(" ".join(NAMES).encode())
"""Changes with the list, so that it is not always the same pairs that are trained."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """Holds sixteen rows, as many to choose the best epoch on, and a teacher.

    In `odd` some rows have another label. `more` has no labels.
    """
    folder = tmp_path_factory.mktemp("combinations")
    words = ["red,a", "plum,b", "blue,a", "pear,b"]
    (folder / "odd").mkdir()
    for split, filler in (("train", ("take the", "one very old")), ("dev", ("see", "a new"))):
        rows = [f"{first} {word}" for first in filler for word in words * 2]
        more = [f"{first} {word},odd" for first in filler for word in ("here", "there", "grape")]
        (folder / f"{split}.csv").write_text("\n".join(["text,label", *rows, ""]))
        (folder / "odd" / f"{split}.csv").write_text("\n".join(["text,label", *rows, *more, ""]))
    more = [f"here the {word.partition(',')[0]} one" for word in words]
    (folder / "more.txt").write_text("\n".join([*more, ""]))
    finetune(config_of([], folder, base, output=TEACHER), Silent())
    return folder


def config_of(
    names: Iterable[str], folder: Path, base: Path, *, output: str = "run"
) -> FinetuneConfig:
    """Combine techniques; what one needs beside it wins over what is plain."""
    files = folder / "odd" if "out_of_scope" in names else folder
    settings: dict[str, object] = {
        "task": "text-classification",
        "train": files / "train.csv",
        "dev": files / "dev.csv",
        "model": str(base),
        "epochs": 1,
        "batch_size": 8,
        "learning_rate": 1e-3,
    }
    for name in names:
        settings |= EXAMPLES[name]
    if "unlabelled" in settings:
        settings["unlabelled"] = folder / "more.txt"
    if "teacher" in settings:
        settings["teacher"] = (str(folder / TEACHER),)
    if settings["model"] == TEACHER:
        settings |= {"model": str(folder / TEACHER), "replay": folder / "train.csv"}
    return FinetuneConfig(**settings | {"output": folder / output})  # type: ignore[arg-type]


def field_of(name: str) -> str:
    return name.partition(" ")[0]


def pairs() -> list[tuple[str, str]]:
    every = itertools.combinations(NAMES, 2)
    return [(one, other) for one, other in every if field_of(one) != field_of(other)]


def names_both(error: BertedgeError, pair: Iterable[str]) -> bool:
    told = str(error)
    settings = [EXAMPLES[name].keys() - FILES for name in pair]
    flags = [{each.replace("_", "-") for each in own} | own for own in settings]
    named = all(any(flag in told for flag in own) for own in flags)
    return named and "\n" not in told and len(told) <= 300


def partners(name: str, folder: Path, base: Path) -> list[str]:
    """The techniques that combine with one, from another first one in each turn of the list."""
    at = (NAMES.index(name) + 1 + TURN) % len(NAMES)
    found = []
    for other in [*NAMES[at:], *NAMES[:at]]:
        if field_of(other) == field_of(name):
            continue
        try:
            config_of(sorted({name, other}), folder, base)
        except SettingError:
            continue
        found.append(other)
    return found


def train(pair: tuple[str, str], folder: Path, base: Path) -> None:
    config = config_of(pair, folder, base, output="-".join(pair).replace(" ", "-"))
    try:
        finished = finetune(config, Silent())
    except BertedgeError as error:
        assert names_both(error, pair), f"{pair}: {error}"
        return
    assert finished is not None and finished.training.epochs == 1, pair
    for name, weight in load_file(config.output / "model.safetensors").items():
        assert np.isfinite(weight).all(), (pair, name)


def test_every_setting_is_a_technique_with_an_example_or_plain() -> None:
    found = {each.name: each for each in fields(FinetuneConfig)}
    assert not EXAMPLES.keys() & PLAIN
    listed = {field_of(name) for name in EXAMPLES} | PLAIN
    assert found.keys() == listed, "list it in EXAMPLES, or in PLAIN"
    for name, changes in EXAMPLES.items():
        default = found[field_of(name)].default
        assert default is not MISSING and changes[field_of(name)] != default


def test_every_two_techniques_make_a_config_or_are_refused_by_name(
    folder: Path, base: Path
) -> None:
    for name in NAMES:
        config_of([name], folder, base)
    for pair in pairs():
        try:
            config_of(pair, folder, base)
        except SettingError as error:
            assert names_both(error, pair), f"{pair}: {error}"


@pytest.mark.parametrize("name", NAMES[TURN % 2 :: 2])
def test_a_technique_trains_with_another(name: str, folder: Path, base: Path) -> None:
    train((name, partners(name, folder, base)[0]), folder, base)


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_a_technique_trains_with_every_other(name: str, folder: Path, base: Path) -> None:
    for other in partners(name, folder, base):
        if other > name:
            train((name, other), folder, base)
