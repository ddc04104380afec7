import json
from pathlib import Path

import pytest
import tokenizers

from bertedge.data import open_examples
from bertedge.finetune.features import IGNORED, build
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Task


@pytest.fixture
def tokenizer(base: Path) -> Tokenizer:
    return Tokenizer((base / "tokenizer.json").read_text(), max_length=10)


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def test_the_first_piece_of_a_word_carries_its_tag(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = [{"tokens": ["see", "zz", "paris"], "tags": ["O", "B-X", "I-X"]}]
    examples = open_examples(write(tmp_path / "t.jsonl", *rows), Task.TOKEN_CLASSIFICATION)
    built = build(examples, ("O", "B-X", "I-X"), tokenizer, tmp_path / "cache")
    (row,) = built.data
    assert row["length"] == 6  # [CLS] see z ##z paris [SEP]
    assert row["labels"] == [IGNORED, 0, 1, IGNORED, 2, IGNORED]
    assert (built.rows, built.truncated, built.windowed) == (1, 0, 0)


def test_long_sentences_become_windows_and_every_word_is_labelled(
    base: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    words = ["see", "abc"] * 12
    rows = [{"tokens": words, "tags": ["O", "B-X"] * 12}]
    examples = open_examples(write(tmp_path / "t.jsonl", *rows), Task.TOKEN_CLASSIFICATION)
    built = build(examples, ("O", "B-X", "I-X"), tokenizer, tmp_path / "cache")
    vocabulary = tokenizers.Tokenizer.from_file(str(base / "tokenizer.json"))
    assert built.windowed == 1 and built.rows == 1
    assert len(built.data) > 1
    assert max(built.data["length"]) <= 10
    for row in built.data:  # "see" is O and "abc", of three pieces, B-X on its first
        for token, label in zip(row["input_ids"], row["labels"], strict=True):
            piece = vocabulary.id_to_token(token)
            assert label in {"see": {0, IGNORED}, "a": {1, IGNORED}}.get(piece, {IGNORED})
    labelled = sum(label != IGNORED for row in built.data for label in row["labels"])
    assert labelled >= len(words)


def test_texts_are_cut_and_counted(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rows = [{"text": "see " * 30, "label": "x"}, {"text": "see", "label": "y"}]
    examples = open_examples(write(tmp_path / "t.jsonl", *rows), Task.TEXT_CLASSIFICATION)
    built = build(examples, ("x", "y"), tokenizer, tmp_path / "cache")
    assert built.data["length"] == [10, 3]
    assert built.data["labels"] == [0, 1]
    assert built.truncated == 1
