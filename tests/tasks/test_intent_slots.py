"""Intents and slots against transformers: the tags' columns as its pipeline, [CLS] as a softmax."""

import random
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertedge
from bertedge.bundle import open_bundle, write_bundle
from bertedge.errors import BundleError, SettingError
from bertedge.joint_labels import split_labels
from bertedge.predictions import IntentSlots
from bertedge.predictor import Predictor
from bertedge.spec import Aggregation, Task

BUNDLE = Path(__file__).parents[2] / "models" / "tiny" / "intent-slots"
WORDS = """
turn the kitchen lights off in bedroom at seven please play unbelievableness Kälter naïve
日本語 العربية עברית 🙂 don't 3.14 -- ##ing [SEP] \u200b \x07 \ufffd
"""
ODD = {
    "empty": "",
    "white space": " \t\n\u3000",
    "emoji": "🙂🙂👩\u200d👩\u200d👧🇩🇪",
    "control characters": "turn\x00the\x07 hall\x1b lights\x7f",
    "a lone surrogate": "turn \ud83d the \udc00 hall lights off",
    "right to left": "הדלק את האור في المطبخ please",
    "combining marks": "a\u0301" * 40,
}


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.open(BUNDLE, device="cpu", threads=1)


def predict(predictor: Predictor, text: str) -> IntentSlots:
    found = predictor.predict_one(text)
    assert isinstance(found, IntentSlots)
    return found


def altered(output: Path, **fields: Any) -> Path:
    manifest = open_bundle(BUNDLE).manifest
    manifest = replace(manifest, model=replace(manifest.model, **fields))
    names = [manifest.tokenizer.file, manifest.variants[0].model.file]
    write_bundle(output, manifest, [BUNDLE / name for name in names], overwrite=False)
    return output


@pytest.mark.parametrize("strategy", list(Aggregation))
def test_intents_and_slots_are_those_of_transformers(
    strategy: Aggregation, make_tiny: Any, predictor: Predictor, tmp_path: Path
) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    checkpoint = make_tiny.make_checkpoint(Task.INTENT_SLOTS, tmp_path / "joint")
    model = transformers.AutoModelForTokenClassification.from_pretrained(checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    heads = split_labels(tuple(model.config.id2label.values()))
    slots = slot_block(transformers, model, heads.intent_columns.stop)
    pipeline = transformers.TokenClassificationPipeline(
        model=slots, tokenizer=tokenizer, aggregation_strategy=strategy.value, device="cpu"
    )
    texts = random_texts(150)
    intents, kinds = set(), set()
    for text, found in zip(texts, predictor.predict(texts, aggregation=strategy), strict=True):
        assert isinstance(found, IntentSlots) and found.windows == 1
        with torch.inference_mode():
            logits = model(**tokenizer(text, return_tensors="pt")).logits
        scores = logits[0, 0, heads.intent_columns].softmax(-1).tolist()
        assert list(found.scores) == list(heads.intents)
        np.testing.assert_allclose(list(found.scores.values()), scores, atol=1e-4)
        assert found.intent == heads.intents[int(np.argmax(scores))]
        assert found.score == found.scores[found.intent]
        expected = pipeline(text)
        key = "entity" if strategy is Aggregation.NONE else "entity_group"
        assert [(e.label, e.start, e.end) for e in found.slots] == [
            (each[key], each["start"], each["end"]) for each in expected
        ], repr(text)
        np.testing.assert_allclose(
            [e.score for e in found.slots], [each["score"] for each in expected], atol=1e-4
        )
        assert all(e.text == text[e.start : e.end] for e in found.slots)
        intents.add(found.intent)
        kinds |= {entity.label for entity in found.slots}
    assert len(intents) >= 2 and len(kinds) >= 3


def slot_block(transformers: Any, model: Any, first: int) -> Any:
    """The same model with the rows of the tags alone in its last layer."""
    config = transformers.AutoConfig.from_pretrained(model.name_or_path)
    labels = list(config.id2label.values())[first:]
    config.id2label, config.label2id = dict(enumerate(labels)), {}
    part = type(model)(config)
    weights = model.state_dict()
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name][first:]
    part.load_state_dict(weights)
    return part.eval()


def random_texts(count: int) -> list[str]:
    dice = random.Random(5)
    made = []
    for _ in range(count):
        words = dice.choices(WORDS.split(), k=dice.randint(1, 9))
        words.append("".join(dice.choices(string.ascii_letters, k=dice.randint(1, 5))))
        made.append(" ".join(words))
    return made


@pytest.mark.parametrize("name", ODD)
def test_odd_texts_are_answered_with_offsets_into_themselves(
    predictor: Predictor, name: str
) -> None:
    text = ODD[name]
    found = predict(predictor, text)
    assert found.intent in ("on", "off", "play")
    assert sum(found.scores.values()) == pytest.approx(1, abs=1e-5)
    assert all(slot.text == text[slot.start : slot.end] for slot in found.slots)
    if not text.strip():
        assert found.slots == ()


def test_a_text_of_many_windows_has_the_intent_of_its_first(predictor: Predictor) -> None:
    start = "please play a quiet song in the living room at seven "
    text = (start * 2000)[:100_000]
    long = predict(predictor, text)
    assert long.windows > 100 and len(long.slots) > 1000
    assert long.slots[-1].end > 99_000
    # The first window holds 62 tokens of the text, of which a word is one here.
    first = predict(predictor, " ".join(text.split()[:62]))
    assert first.windows == 1
    assert list(long.scores.values()) == pytest.approx(list(first.scores.values()), abs=1e-5)
    both = predictor.predict(["x", text, "hall"])
    assert [each.windows for each in both if isinstance(each, IntentSlots)] == [1, long.windows, 1]
    assert both[1].intent == long.intent  # type: ignore[union-attr]


def test_texts_together_are_answered_as_alone(predictor: Predictor) -> None:
    texts = random_texts(40)
    for text, found in zip(texts, predictor.predict(texts), strict=True):
        alone = predict(predictor, text)
        assert isinstance(found, IntentSlots)
        assert found.intent == alone.intent
        assert found.scores == pytest.approx(alone.scores, abs=1e-5)
        assert [(s.label, s.start) for s in found.slots] == [
            (s.label, s.start) for s in alone.slots
        ]


def test_one_intent_is_sure_of_itself(tmp_path: Path) -> None:
    labels = ("intent:only", *(f"B-s{i}" for i in range(7)), "O")
    found = predict(bertedge.load(altered(tmp_path / "one", labels=labels)), "turn the lights off")
    assert (found.intent, found.score, found.scores) == ("only", 1.0, {"only": 1.0})


def test_labels_that_do_not_part_are_refused(tmp_path: Path) -> None:
    labels = ("O", *(f"intent:{i}" for i in range(8)))
    with pytest.raises(BundleError, match="the tag 'O' stands before intents"):
        bertedge.load(altered(tmp_path / "odd", labels=labels))


def test_options_of_other_tasks_are_refused(predictor: Predictor) -> None:
    with pytest.raises(SettingError, match="neither fills masks nor answers questions"):
        predictor.predict_one("on", top_k=3)
    with pytest.raises(SettingError, match="choose one of none, simple"):
        predictor.predict_one("on", aggregation="median")
