"""Every task on texts that nobody means to send: what transformers answers, or one clear line."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from click.testing import CliRunner

import bertedge
from bertedge.cli import main
from bertedge.errors import DataError
from bertedge.export import ExportConfig, export
from bertedge.predictions import (
    Classification,
    Entities,
    FilledMasks,
    MultiLabelClassification,
    Regression,
)
from bertedge.predictor import Predictor
from bertedge.spec import Text

LONG = "100,000 characters"
ODD = {
    "empty": "",
    "a space": " ",
    "white space": " \t\r\n\u3000\u2028 ",
    "emoji": "🙂🙃🎉👩\u200d👩\u200d👧🇩🇪",
    "control characters": "red\x00\x07 \x1b[31mapple\x7f\u200b",
    "lone surrogate": "red \ud83d apple",
    "only a surrogate": "\udc00",
    "right to left": "تفاحة red תפוח \u202eelppa\u202c",
    "unknown letters": "ßøł 日本語 한국어",
    "special tokens": "[CLS] red [SEP] [PAD] apple [UNK]",
    LONG: "take one red apple " * 5_263,
    "one word of 100,000 letters": "a" * 100_000,
    "100,000 emoji": "🙂" * 100_000,
}
LABELS = ("bad", "fair", "good")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SINGLE = {
    "single": {"id2label": dict(enumerate(LABELS))},
    "multi": {
        "id2label": dict(enumerate(LABELS)),
        "problem_type": "multi_label_classification",
    },
    "value": {"id2label": {0: "warmth"}, "problem_type": "regression"},
}
HEADS = {
    "tokens": transformers.BertForTokenClassification,
    "masks": transformers.BertForMaskedLM,
}

Opened = tuple[Predictor, Path]


@pytest.fixture(scope="module")
def opened(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Opened]:
    """Export (once) a random model of a kind, and open it; its checkpoint is the oracle."""
    made: dict[str, Opened] = {}

    def make(kind: str) -> Opened:
        if kind not in made:
            folder = tmp_path_factory.mktemp("odd") / kind
            changes = SINGLE.get(kind.removesuffix(" pair"), {})
            if kind == "tokens":
                changes = {"id2label": dict(enumerate(TAGS))}
            torch.manual_seed(3)
            # Ten times the usual spread of weights: answers differ.
            config = transformers.BertConfig.from_pretrained(base, initializer_range=0.2, **changes)
            head = HEADS.get(kind, transformers.BertForSequenceClassification)
            head(config).save_pretrained(folder / "checkpoint")
            tokenizer = transformers.AutoTokenizer.from_pretrained(base)
            tokenizer.save_pretrained(folder / "checkpoint")
            report = export(
                ExportConfig(
                    checkpoint=str(folder / "checkpoint"),
                    output=folder / "bundle",
                    pair=kind.endswith("pair"),
                )
            )
            predictor = bertedge.load(report.output, device="cpu", threads=1)
            made[kind] = predictor, folder / "checkpoint"
        return made[kind]

    return make


def readable(text: str) -> str:
    """Write a text as transformers takes it: no lone surrogates, and not too long.

    It needs gigabytes to cut a pair of 100,000 characters; the model reads far fewer than these.
    """
    return re.sub("[\ud800-\udfff]", "\ufffd", text[:2_000])


def expected_scores(folder: Path, texts: Sequence[Text]) -> list[dict[str, float]]:
    pipeline = transformers.pipeline("text-classification", str(folder), top_k=None)
    rows = []
    for text in texts:
        # A pair in a list is always one; on its own, one with an empty second text would be none.
        given = readable(text) if isinstance(text, str) else (readable(text[0]), readable(text[1]))
        encoded = pipeline.tokenizer([given], truncation=True, return_tensors="pt")
        with torch.inference_mode():
            answer = pipeline.postprocess(pipeline.model(**encoded), top_k=None, _legacy=False)
        rows.append({each["label"]: each["score"] for each in answer})
    return rows


def scores_of(prediction: Any) -> dict[str, float]:
    match prediction:
        case Regression():
            return {"warmth": prediction.value}
        case Classification() | MultiLabelClassification():
            return prediction.scores
    raise AssertionError(prediction)


@pytest.mark.parametrize("kind", SINGLE)
def test_texts_are_labelled_as_by_transformers(opened: Callable[[str], Opened], kind: str) -> None:
    predictor, folder = opened(kind)
    texts = list(ODD.values())
    expected = expected_scores(folder, texts)
    together = predictor.predict(texts)
    for name, text, one, wanted in zip(ODD, texts, together, expected, strict=True):
        assert scores_of(one) == pytest.approx(wanted, abs=1e-4), name
        assert scores_of(predictor.predict_one(text)) == pytest.approx(wanted, abs=1e-4), name
        assert one.truncated is (name == LONG), name


@pytest.mark.parametrize("kind", ["single pair", "value pair"])
def test_pairs_are_labelled_as_by_transformers(opened: Callable[[str], Opened], kind: str) -> None:
    predictor, folder = opened(kind)
    pairs: list[Text] = [(text, "red apple") for text in ODD.values()]
    pairs += [("red apple", text) for text in ODD.values()]
    pairs += [(text, text) for text in ODD.values()]
    expected = expected_scores(folder, pairs)
    for pair, found, wanted in zip(pairs, predictor.predict(pairs), expected, strict=True):
        assert scores_of(found) == pytest.approx(wanted, abs=1e-4), str(pair)[:60]


def test_tokens_are_labelled_as_by_transformers(opened: Callable[[str], Opened]) -> None:
    predictor, folder = opened("tokens")
    pipeline = transformers.pipeline("ner", str(folder), aggregation_strategy="first")
    for name, text in ODD.items():
        (found,) = predictor.predict([text])
        assert isinstance(found, Entities)
        assert all(text[each.start : each.end] == each.text for each in found.entities), name
        if name == LONG:  # of which transformers reads the beginning alone
            assert found.windows > 1, name
            assert found.entities[-1].end > 90_000, name
            continue
        if not text:
            assert found.entities == ()  # transformers refuses an empty text
            continue
        if len(text) > 2_000:  # one unknown word, which transformers is not given whole
            assert [(e.start, e.end) for e in found.entities] in ([], [(0, len(text))]), name
            continue
        wanted = pipeline(readable(text))
        assert [(e.label, e.start, e.end) for e in found.entities] == [
            (each["entity_group"], each["start"], each["end"]) for each in wanted
        ], name
        scores = [float(each["score"]) for each in wanted]
        assert [e.score for e in found.entities] == pytest.approx(scores, abs=1e-4), name


def test_masks_among_odd_text_are_filled_as_by_transformers(
    opened: Callable[[str], Opened],
) -> None:
    predictor, folder = opened("masks")
    pipeline = transformers.pipeline("fill-mask", str(folder))
    for name, odd in ODD.items():
        text = f"[MASK] {odd}"
        (found,) = predictor.predict([text])
        assert isinstance(found, FilledMasks) and len(found.masks) == 1
        wanted = pipeline(readable(text), tokenizer_kwargs={"truncation": True})
        assert [fill.token_id for fill in found.masks[0]] == [each["token"] for each in wanted], (
            name
        )
        scores = [each["score"] for each in wanted]
        assert [fill.score for fill in found.masks[0]] == pytest.approx(scores, abs=1e-4), name


def test_a_text_without_a_mask_is_one_clear_line(opened: Callable[[str], Opened]) -> None:
    predictor, _ = opened("masks")
    for name, text in ODD.items():
        if name != LONG:  # the end of which, where a mask may be, is not read
            with pytest.raises(DataError, match=r"^text 0 has no \[MASK\]; put it where"):
                predictor.predict([text])


@pytest.mark.parametrize("kind", [*SINGLE, "single pair", "tokens", "masks"])
def test_the_command_gives_a_line_a_text(
    opened: Callable[[str], Opened], kind: str, tmp_path: Path
) -> None:
    _, folder = opened(kind)
    path = tmp_path / "odd.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for text in ODD.values():
            own = f"[MASK] {text}" if kind == "masks" else text
            file.write(json.dumps([own, "red apple"] if kind.endswith("pair") else own) + "\n")
    bundle = folder.with_name("bundle")
    result = CliRunner().invoke(main, ["predict", str(bundle), "--input", str(path)])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.split("\n") if line]
    texts = [f"[MASK] {text}" if kind == "masks" else text for text in ODD.values()]
    assert len(rows) == len(texts)
    same = [row["text"] == text for row, text in zip(rows, texts, strict=True)]
    assert all(same), same
