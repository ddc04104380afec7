"""A checkpoint that nobody but transformers has made, to be spoiled by the tests."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def sound(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text classifier of three labels, with random weights and without training.json."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("sound") / "model"
    shutil.copytree(base, folder)
    labels = {0: "bad", 1: "fair", 2: "good"}
    config = transformers.AutoConfig.from_pretrained(
        base, id2label=labels, label2id={name: i for i, name in labels.items()}
    )
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(sound: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(sound, tmp_path / "model"))
