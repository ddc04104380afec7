"""A vocabulary cut down to what a corpus uses, and what that costs: nothing on the corpus."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer

import bertedge
from bertedge.checkpoint import load_model, open_checkpoint
from bertedge.errors import SettingError, VerificationError
from bertedge.export import ExportConfig, export
from bertedge.export.vocabulary import trim
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import finetune
from bertedge.predictions import Classification
from bertedge.progress import Silent
from bertedge.spec import Task

PIECES = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}


@pytest.fixture(scope="module")
def checkpoint(
    base: Path, texts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    output = tmp_path_factory.mktemp("trim") / "colors"
    config = FinetuneConfig(
        task=Task.TEXT_CLASSIFICATION,
        train=texts["train"],
        dev=texts["dev"],
        model=str(base),
        output=output,
        epochs=8,
        learning_rate=3e-3,
    )
    finetune(config, Silent())
    return output


@pytest.fixture
def corpus(texts: dict[str, Path], tmp_path: Path) -> Path:
    """The dev texts, in which no place is named."""
    path = tmp_path / "corpus.txt"
    lines = [line.rpartition(",")[0] for line in texts["dev"].read_text().splitlines()]
    path.write_text("\n".join(lines))
    return path


def test_pieces_that_the_corpus_uses_stay_and_others_fall_back_to_characters(
    checkpoint: Path, corpus: Path
) -> None:
    opened = open_checkpoint(str(checkpoint))
    before = Tokenizer.from_str(opened.tokenizer_json)
    trimmed, record = trim(opened, load_model(opened), corpus)
    after = Tokenizer.from_str(trimmed.tokenizer_json)
    assert record.before == before.get_vocab_size()
    assert record.after == after.get_vocab_size() < before.get_vocab_size()
    for line in corpus.read_text().splitlines():
        assert before.encode(line).tokens == after.encode(line).tokens
    assert before.encode("paris").tokens == ["[CLS]", "paris", "[SEP]"]
    assert after.encode("paris").tokens == ["[CLS]", "p", "##a", "##r", "##i", "##s", "[SEP]"]
    letters = {piece for piece in before.get_vocab() if len(piece.removeprefix("##")) == 1}
    assert letters | PIECES <= set(after.get_vocab())
    assert sorted(after.get_vocab().values()) == list(range(record.after))


def test_the_model_answers_as_before(checkpoint: Path, corpus: Path) -> None:
    opened = open_checkpoint(str(checkpoint))
    before, after = load_model(opened), load_model(opened)
    trimmed, _ = trim(opened, after, corpus)
    text = corpus.read_text().splitlines()[0]
    answers = []
    for model, tokenizer in ((before, opened), (after, trimmed)):
        native = Tokenizer.from_str(tokenizer.tokenizer_json)
        fast = transformers.PreTrainedTokenizerFast(tokenizer_object=native)
        answers.append(model(**fast(text, return_tensors="pt")).logits)
    assert (answers[0] == answers[1]).all()


@pytest.mark.parametrize("quantize", [False, True])
def test_a_trimmed_bundle_agrees_with_the_whole_checkpoint_and_is_smaller(
    checkpoint: Path, corpus: Path, tmp_path: Path, quantize: bool
) -> None:
    def made(name: str, trim_vocab: Path | None) -> Path:
        config = ExportConfig(
            checkpoint=str(checkpoint),
            output=tmp_path / name,
            quantize=quantize,
            trim_vocab=trim_vocab,
            min_agreement=0.9,
        )
        export(config)
        return tmp_path / name

    whole, small = made("whole", None), made("small", corpus)
    manifest = json.loads((small / "bertedge.json").read_text())
    assert manifest["trimming"]["data"] == "corpus.txt"
    assert manifest["trimming"]["after"] < manifest["trimming"]["before"]
    accuracy = manifest["variants"][0]["accuracy"]
    assert accuracy["agreement"] == 1.0 if not quantize else accuracy["agreement"] > 0.9
    texts = corpus.read_text().splitlines()
    one, other = bertedge.load(whole).predict(texts), bertedge.load(small).predict(texts)
    for left, right in zip(one, other, strict=True):
        assert isinstance(left, Classification) and isinstance(right, Classification)
        assert left.score == pytest.approx(right.score, abs=1e-5 if not quantize else 0.05)
    sizes = [
        sum(file.stat().st_size for file in each.iterdir() if file.name != "bertedge.json")
        for each in (whole, small)
    ]
    assert sizes[1] < sizes[0]


def test_what_a_smaller_vocabulary_costs_is_measured_and_guarded(
    checkpoint: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    """Texts of pieces that the corpus lacks fall back to letters, and get other labels."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the old\n")
    data = texts["dev"]
    settings: dict[str, Any] = {"checkpoint": str(checkpoint), "trim_vocab": corpus}
    settings |= {"eval_data": data, "max_drop": 100.0}
    with pytest.raises(VerificationError, match=r"word pieces the model agrees .* --trim-vocab"):
        export(ExportConfig(output=tmp_path / "no", min_agreement=1.0, **settings))
    assert not (tmp_path / "no").exists()
    report = export(ExportConfig(output=tmp_path / "yes", min_agreement=0.0, **settings))
    trimming = report.manifest.trimming
    assert trimming is not None and trimming.accuracy is not None
    assert trimming.accuracy.agreement < 1
    fp32 = report.manifest.variants[0].accuracy
    assert fp32 is not None
    assert fp32.agreement == 1  # of the trimmed model: int8's loss is told apart
    assert fp32.checkpoint == trimming.accuracy.variant


def test_what_has_no_word_pieces_to_trim_is_refused(
    checkpoint: Path, corpus: Path, tmp_path: Path
) -> None:
    opened = open_checkpoint(str(checkpoint))
    data = json.loads(opened.tokenizer_json)
    data["model"] = {"type": "BPE", "vocab": {}, "merges": []}
    other = dataclasses.replace(opened, tokenizer_json=json.dumps(data))
    with pytest.raises(SettingError, match="is for WordPiece vocabularies"):
        trim(other, load_model(opened), corpus)
    filler = dataclasses.replace(
        opened, model=dataclasses.replace(opened.model, task=Task.FILL_MASK)
    )
    with pytest.raises(SettingError, match="takes words away that this model predicts"):
        trim(filler, load_model(opened), corpus)
