"""Tokenizers that give the second text of a pair a type, and models that have fewer types."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import processors

from bertedge.checkpoint import open_checkpoint
from bertedge.errors import CheckpointError
from bertedge.export import ExportConfig, export
from bertedge.export.config import Exporter
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import finetune
from bertedge.predictor import Predictor
from bertedge.progress import Silent
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Task

PAIRS = [("the red apple", "a green pear"), ("one plum", "the very white grape here")]
TABLE = "embeddings.token_type_embeddings.weight"


@pytest.fixture
def one_type(base: Path, tmp_path: Path) -> Path:
    """A BERT of one type of tokens, whose tokenizer gives two, with a head for two labels."""
    folder = tmp_path / "one-type"
    shutil.copytree(base, folder)
    labels = {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}
    config = transformers.AutoConfig.from_pretrained(base, type_vocab_size=1, **labels)
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def set_processor(folder: Path, processor: object) -> None:
    path = folder / "tokenizer.json"
    backend = tokenizers.Tokenizer.from_file(str(path))
    backend.post_processor = processor
    backend.save(str(path))


@pytest.mark.parametrize("kind", ["template", "bert"])
def test_a_model_of_one_type_reads_both_texts_of_a_pair_as_that_type(
    kind: str, one_type: Path
) -> None:
    if kind == "bert":
        set_processor(one_type, processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)))
    theirs = transformers.AutoTokenizer.from_pretrained(one_type)
    expected = theirs([list(pair) for pair in PAIRS], return_token_type_ids=True)
    assert max(expected["token_type_ids"][0]) == 1
    opened = open_checkpoint(str(one_type))
    rows = Tokenizer(opened.tokenizer_json, max_length=32).encode(PAIRS)
    assert [row.ids.tolist() for row in rows] == expected["input_ids"]
    assert not any(row.type_ids.any() for row in rows)


def test_such_a_model_is_trained_and_exported_on_pairs(one_type: Path, tmp_path: Path) -> None:
    rows = [{"text": a, "text_pair": b, "label": label} for a, b in PAIRS for label in "ny"] * 3
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    base = {
        "model": str(one_type),
        "train": data,
        "dev": data,
        "output": run,
        "task": Task.TEXT_CLASSIFICATION,
    }
    columns = {"text_column": "text", "pair_column": "text_pair", "label_column": "label"}
    finetune(FinetuneConfig(**base, epochs=1.0, **columns), Silent())
    export(ExportConfig(checkpoint=str(run), output=bundle))
    opened = Predictor.open(bundle, device="cpu", threads=1)
    theirs = transformers.AutoTokenizer.from_pretrained(one_type)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run).eval()
    feed = theirs(*zip(*PAIRS, strict=True), padding=True, return_tensors="pt")
    feed["token_type_ids"] = torch.zeros_like(feed["input_ids"])
    with torch.inference_mode():
        expected = model(**feed).logits.softmax(-1).numpy()
    answers = opened.predict(PAIRS)
    found = [[each.scores[name] for name in "ny"] for each in answers]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_optimum_which_traces_with_two_types_is_not_asked(one_type: Path, tmp_path: Path) -> None:
    config = ExportConfig(checkpoint=str(one_type), output=tmp_path / "bundle", pair=True)
    assert export(config).manifest.exporter == Exporter.DIRECT
    asked = ExportConfig(
        checkpoint=str(one_type), output=tmp_path / "other", exporter=Exporter.OPTIMUM
    )
    with pytest.raises(CheckpointError, match=r"exports no bert of one token type .*leave --exp"):
        export(asked)


def test_more_types_than_a_model_has_are_refused_in_one_line(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "three"
    shutil.copytree(base, folder)
    template = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:2 [SEP]:2",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    set_processor(folder, template)
    with pytest.raises(CheckpointError, match=r"types up to 2, and a model of 2 .type_vocab") as e:
        open_checkpoint(str(folder), Task.FEATURE_EXTRACTION)
    assert "\n" not in str(e.value)
    weights = load_file(folder / "model.safetensors")
    name = next(each for each in weights if each.endswith(TABLE))
    weights[name] = weights[name][:1].repeat(3, 1)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | {"type_vocab_size": 3}
    (folder / "config.json").write_text(json.dumps(config))
    open_checkpoint(str(folder), Task.FEATURE_EXTRACTION)
