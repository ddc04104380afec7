import json
from pathlib import Path

import pytest
import tokenizers
import torch
import transformers
from tokenizers import models, pre_tokenizers

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import open_data
from bertedge.finetune.inputs import open_inputs
from bertedge.spec import Task


@pytest.fixture
def byte_level(tmp_path: Path) -> Path:
    """A RoBERTa whose tokenizer puts no space before a text, as published ones do not."""
    folder = tmp_path / "roberta"
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    native = tokenizers.Tokenizer(models.BPE(vocabulary, []))
    native.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=native, pad_token="<pad>", model_max_length=32
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=len(pieces),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=34,
    )
    transformers.RobertaModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("task", [Task.TOKEN_CLASSIFICATION, Task.INTENT_SLOTS])
def test_words_are_read_with_the_space_before_them(
    byte_level: Path, task: Task, tmp_path: Path
) -> None:
    rows = [
        {"tokens": ["a", "b"], "tags": ["O", "B-X"], "intent": intent} for intent in ("go", "stop")
    ]
    train = tmp_path / "train.jsonl"
    train.write_text("\n".join(map(json.dumps, rows)) + "\n")
    config = FinetuneConfig(task=task, model=str(byte_level), train=train, output=tmp_path / "run")
    native = open_inputs(config, open_data(config)).tokenizer.backend_tokenizer
    assert native.encode(["a", "b"], is_pretokenized=True).tokens == ["Ġ", "a", "Ġ", "b"]
