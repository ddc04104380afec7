"""Entities of tagged words, scored on the text that users would send."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import bertedge
from bertedge.cli import main
from bertedge.evaluation import join_words
from bertedge.predictions import Entities, IntentSlots

TINY = Path(__file__).parents[2] / "models" / "tiny"
WORDS = (
    *("turn", "the", "hall", "lights", "off", "don't", "living-room,", "at", "9", "p.m."),
    *("kitchen", "please", "(bed)", "30%", "x/y"),
)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["Turn", "it", "off", "."], "Turn it off ."),
        (["服", "务", "很", "好", "。"], "服务很好。"),
        (["我", "用", "Python", "3", "写", "。"], "我用Python 3写。"),
        (["The", "hotel", "東京", "is", "good"], "The hotel 東京 is good"),
        (["a", "", "b"], "a  b"),
        (["สวัสดี", "ครับ"], "สวัสดีครับ"),
    ],
)
def test_words_are_parted_by_spaces_where_their_script_has_them(
    words: list[str], text: str
) -> None:
    joined, spans = join_words(words)
    assert joined == text
    assert [joined[start:end] for start, end in spans] == words


def random_rows(labels: tuple[str, ...], seed: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    tags = [label for label in labels if not label.startswith("intent:")]
    intents = [label.removeprefix("intent:") for label in labels if label.startswith("intent:")]
    rows = []
    for _ in range(30):
        words = random.choice(WORDS, random.integers(1, 9)).tolist()
        kinds = random.choice(tags, len(words)).tolist()
        row = {"tokens": words, "tags": as_iob2(kinds)}
        rows.append(row | ({"intent": str(random.choice(intents))} if intents else {}))
    return rows


def as_iob2(tags: list[str]) -> list[str]:
    before = ["O", *tags[:-1]]
    begun = zip(tags, before, strict=True)
    return [f"B-{t[2:]}" if t[0] == "I" and p[2:] != t[2:] else t for t, p in begun]


def gold_spans(row: dict[str, Any]) -> set[tuple[int, int, str]]:
    _, places = join_words(row["tokens"])
    spans: list[list[Any]] = []
    for tag, (start, end) in zip(row["tags"], places, strict=True):
        if tag[0] == "B":
            spans.append([start, end, tag[2:]])
        elif tag[0] == "I":
            spans[-1][1] = end
    return {(start, end, kind) for start, end, kind in spans}


def evaluate(bundle: Path, data: Path, *flags: str) -> dict[str, Any]:
    command = ["evaluate", str(bundle), "--data", str(data), "--device", "cpu", "--json", *flags]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)["scores"]
    return found


@pytest.mark.parametrize("name", ["token-classification", "intent-slots"])
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_what_predict_finds_in_the_joined_text(
    name: str, seed: int, tmp_path: Path
) -> None:
    predictor = bertedge.load(TINY / name, device="cpu")
    rows = random_rows(predictor.manifest.model.labels, seed)
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    predictions = predictor.predict([join_words(row["tokens"])[0] for row in rows])
    right = given = there = frames = 0
    for row, found in zip(rows, predictions, strict=True):
        assert isinstance(found, Entities | IntentSlots)
        entities = found.slots if isinstance(found, IntentSlots) else found.entities
        spans = {(each.start, each.end, each.label) for each in entities}
        gold = gold_spans(row)
        right, given, there = right + len(spans & gold), given + len(spans), there + len(gold)
        if isinstance(found, IntentSlots):
            frames += spans == gold and found.intent == row["intent"]
    scores = evaluate(TINY / name, data, "--as-text")
    slots = scores["slots"] if name == "intent-slots" else scores
    assert there > 0 and given > 0
    assert slots["value"] == pytest.approx(2 * right / (given + there))
    if name == "intent-slots":
        assert scores["value"] == pytest.approx(frames / len(rows))


def test_whole_words_that_are_split_alike_score_alike(tmp_path: Path) -> None:
    """Words without punctuation are the tokenizer's own: both ways find the same."""
    rows = [
        {"tokens": ["turn", "the", "hall", "lights", "off"], "tags": tags}
        for tags in (["O", "O", "B-room", "B-device", "O"], ["B-room", "I-room", "O", "O", "O"])
    ]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bundle = TINY / "token-classification"
    assert evaluate(bundle, data)["value"] == evaluate(bundle, data, "--as-text")["value"]


def test_scores_by_words_say_that_predict_reads_texts(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"tokens": ["hall"], "tags": ["B-room"]}) + "\n")
    bundle = str(TINY / "token-classification")
    said = CliRunner().invoke(main, ["evaluate", bundle, "--data", str(data)]).stdout
    assert "--as-text measures that" in said
    shown = CliRunner().invoke(main, ["evaluate", bundle, "--data", str(data), "--as-text"]).stdout
    assert "words joined to texts" in shown and "by character" in shown


def test_a_model_of_whole_texts_has_no_words_to_join(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("text,label\nturn it off,lights\n")
    bundle = str(TINY / "text-classification")
    done = CliRunner().invoke(main, ["evaluate", bundle, "--data", str(data), "--as-text"])
    assert done.exit_code == 1
    assert "leave --as-text out" in done.stderr
