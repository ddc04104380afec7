"""Training holds the embeddings of the data's tokens alone, and nothing else of it changes."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from bertedge.checkpoint.config import ARCHITECTURES
from bertedge.finetune import training
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.embedding_subset import EmbeddingSubset, embedding_subset
from bertedge.finetune.features import Features
from bertedge.finetune.run import finetune
from bertedge.progress import Silent
from bertedge.spec import Task

ROWS = "bert.embeddings.word_embeddings.weight"


def train(base: Path, output: Path, **changes: object) -> dict[str, np.ndarray]:
    """Train on five words of which two are in the dev data alone; give the weights."""
    files = {}
    for split, words in (("train", ("red", "plum", "see")), ("dev", ("blue", "pear"))):
        lines = [f"{words[i % len(words)]},{'ab'[i % 2]}" for i in range(24)]
        files[split] = output.with_name(f"{output.name}-{split}.csv")
        files[split].write_text("\n".join(["text,label", *lines]) + "\n")
    settings = {"task": Task.TEXT_CLASSIFICATION, "model": str(base), "output": output, **files}
    settings |= {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, **changes}
    finetune(FinetuneConfig(**settings), Silent())
    return load_file(output / "model.safetensors")


def test_tokens_of_the_training_data_learn_and_all_others_keep_their_embeddings(
    base: Path, tmp_path: Path
) -> None:
    before = load_file(base / "model.safetensors")[ROWS.removeprefix("bert.")]
    after = train(base, tmp_path / "run")[ROWS]
    ids = json.loads((base / "tokenizer.json").read_text())["model"]["vocab"]
    changed = {i for i in range(len(before)) if (before[i] != after[i]).any()}
    # Those of the dev data lie in the optimizer too, which lets them decay.
    learnt = {ids[word] for word in ("[CLS]", "[SEP]", "red", "plum", "see")}
    assert learnt <= changed <= learnt | {ids[word] for word in ("blue", "pear", "[PAD]")}


def test_the_weights_are_those_of_training_with_all_embeddings(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = train(base, tmp_path / "narrow", weight_decay=0.0)

    @contextlib.contextmanager
    def whole(*_: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(training, "embedding_subset", whole)
    for name, weight in train(base, tmp_path / "whole", weight_decay=0.0).items():
        assert narrow[name] == pytest.approx(weight, abs=1e-6), name


def test_the_whole_vocabularys_ids_are_looked_up(base: Path) -> None:
    model = transformers.AutoModel.from_pretrained(base).eval()
    whole = model.get_input_embeddings()
    narrow = EmbeddingSubset(whole, np.array([0, 2, 3, 7, 11]))
    assert narrow.weight.shape == (5, whole.embedding_dim)
    ids = torch.tensor([[2, 7, 3], [11, 3, 0]])
    assert torch.equal(narrow(ids), whole(ids))
    narrow(ids).sum().backward()
    assert narrow.weight.grad is not None and narrow.weight.grad[0].abs().max() == 0  # [PAD]


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_has_its_embeddings_back_even_after_an_error(kind: str) -> None:
    sizes = {"num_hidden_layers": 1, "n_layers": 1, "num_attention_heads": 2, "n_heads": 2}
    sizes |= {"vocab_size": 30, "hidden_size": 8, "dim": 8, "intermediate_size": 8}
    sizes |= {"hidden_dim": 8, "embedding_size": 8, "max_position_embeddings": 40}
    sizes |= {"pad_token_id": 0}
    config = transformers.AutoConfig.for_model(kind, **sizes)
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    before = model(ids).logits
    data = datasets.Dataset.from_dict({"input_ids": [[5, 6], [7, 8]]})
    features = Features(data=data, rows=2, truncated=0, windowed=0)
    whole = model.get_input_embeddings()
    with pytest.raises(KeyboardInterrupt), embedding_subset(model, [features]):
        assert isinstance(model.get_input_embeddings(), EmbeddingSubset)
        assert torch.equal(model(ids).logits, before)
        with torch.no_grad():
            model.get_input_embeddings().weight += 1.0
        raise KeyboardInterrupt
    assert model.get_input_embeddings() is whole
    assert not torch.equal(model(ids).logits, before)
