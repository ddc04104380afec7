"""Intents with slots in a bench: what is compared, what is scored, who is left out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bertedge.bench.backends.bertedge import load_bundle, load_torch
from bertedge.bench.protocol import Open, TextWorkload, TokenWorkload
from bertedge.bench.scoring import compare, score
from bertedge.bench.workloads import draw_labelled
from bertedge.bundle import open_bundle
from bertedge.data import Columns
from bertedge.errors import DataError
from bertedge.metrics import FrameScores
from bertedge.predictions import Entity, IntentSlots
from bertedge.predictor import Predictor
from bertedge.spec import Task

BUNDLE = Path(__file__).parents[2] / "models" / "tiny" / "intent-slots"
LONG = "please play a quiet song in the living room " * 20
TEXTS = ("turn the hall lights off", "", LONG, "is it warm", "x")
WHOLE = TextWorkload(name="t", texts=tuple((text,) for text in TEXTS), at_once=True)


@pytest.fixture
def asked(opening: Open) -> Open:
    model = open_bundle(BUNDLE).manifest.model
    return replace(opening, path=str(BUNDLE), model=model, tokenizer=str(BUNDLE / "tokenizer.json"))


def test_a_text_gives_its_intent_and_the_tags_of_its_tokens(asked: Open) -> None:
    loaded = load_bundle(asked)
    found = loaded.texts(WHOLE).outputs(0)
    texts = loaded.texts(replace(WHOLE, at_once=False))
    alone = [each for i in range(len(TEXTS)) for each in texts.outputs(i)]
    same = compare(alone, found, WHOLE.texts).agreement()
    assert same and (same.share, same.texts) == (1, 1)
    predictor = Predictor.open(BUNDLE, device="cpu", threads=1)
    for prediction, own in zip(alone, predictor.predict(TEXTS), strict=True):
        assert isinstance(prediction, IntentSlots) and isinstance(own, IntentSlots)
        assert prediction.intent == own.intent
        assert {each.label for each in prediction.slots} <= set(asked.model.labels)
    long = alone[2]
    assert isinstance(long, IntentSlots) and long.windows > 1
    cell = TokenWorkload(name="2x3", batches=(((9, 10, 11), (12, 13, 14)),))
    assert len(loaded.tokens(cell).outputs(0)) == 6


def test_pytorch_gives_the_predictions_of_the_bundle(asked: Open, checkpoints: Path) -> None:
    torch = load_torch(replace(asked, path=str(checkpoints / "intent-slots")))
    loaded = load_bundle(asked)
    found = (each.texts(WHOLE).outputs(0) for each in (torch, loaded))
    same = compare(*found, WHOLE.texts).agreement()
    words = sum(len(text.split()) for text in TEXTS)
    assert same and (same.share, same.texts, same.labels) == (1, 1, len(TEXTS) + words)
    cell = TokenWorkload(name="2x3", batches=(((9, 10, 11), (12, 13, 14)),))
    assert torch.tokens(cell).outputs(0) == loaded.tokens(cell).outputs(0)


def frame(intent: str, *slots: Entity) -> IntentSlots:
    return IntentSlots(intent=intent, score=1.0, scores={intent: 1.0}, slots=slots)


def slot(label: str, start: int, end: int) -> Entity:
    return Entity(label=label, score=1.0, start=start, end=end, text="")


def test_frames_are_scored_by_words(tmp_path: Path) -> None:
    rows = [
        {"tokens": ["turn", "livingrooms", "off"], "tags": ["O", "B-room", "O"], "intent": "off"},
        {"tokens": ["hall"], "tags": ["B-room"], "intent": "on"},
    ]
    data = tmp_path / "d.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    labels = ("intent:on", "intent:off", "O", "B-room")
    drawn = draw_labelled(data, Task.INTENT_SLOTS, Columns(), labels, count=10, seed=0)
    # livingrooms has the pieces living ##room ##s, of which only the first counts.
    first = frame("off", slot("B-room", 5, 11))
    predicted = [first, frame("off", slot("B-room", 0, 4))]
    found = score(drawn, predicted, labels)
    assert found and isinstance(found.scores, FrameScores)
    values = (found.scores.value, found.scores.intents.value, found.scores.slots.value)
    assert values == (0.5, 0.5, 1)
    assert found.parts.tolist() == [[1, 1], [0, 1]]
    assert score(drawn, predicted[1:], labels) is None
    assert score(drawn, [first, frame("sing")], labels) is None
    second_piece = score(drawn, [frame("off", slot("B-room", 11, 15)), predicted[1]], labels)
    assert second_piece and isinstance(second_piece.scores, FrameScores)
    assert second_piece.scores.value == 0
    with pytest.raises(DataError, match="does not know the label 'intent:off'"):
        draw_labelled(
            data, Task.INTENT_SLOTS, Columns(), ("intent:on", "O", "B-room"), count=10, seed=0
        )


def test_pipelines_are_left_out_with_the_reason(asked: Open, checkpoints: Path) -> None:

    from bertedge.bench.discovery import ALONE, Candidates, Lineup, Machine, find_rivals
    from bertedge.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(str(checkpoints / "intent-slots"))
    assert checkpoint.model.task is Task.INTENT_SLOTS
    machine = Machine(cpu_flags=frozenset(), compiler=True)
    bundle = open_bundle(BUNDLE)
    lineup = Lineup.of(
        find_rivals(Candidates(bundle=bundle, checkpoint=checkpoint, base=asked, machine=machine))
    )
    assert [spec.name for spec in lineup.specs] == ["torch-compile"]
    assert [(item.name, item.why) for item in lineup.left_out] == [("pipeline-fp32", ALONE)]
